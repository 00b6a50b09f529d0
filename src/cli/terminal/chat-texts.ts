import type { Locale } from '../../inspect/labels.ts';

/** The texts of a chat in a terminal. */
export interface ChatTexts {
  readonly welcome: string;
  readonly help: string;
  readonly stopped: string;
  readonly full: string;
  readonly leave: string;
  readonly reset: string;
  readonly saved: (file: string, count: number) => string;
  readonly loaded: (file: string, count: number) => string;
  readonly needsFile: (command: string) => string;
  readonly unknown: (command: string) => string;
  readonly empty: string;
}

export const CHAT_TEXTS: Readonly<Record<Locale, ChatTexts>> = {
  en: {
    welcome: 'Write a message and press Enter. /help lists the commands, Ctrl-D ends.',
    help: `/reset       start a new chat
/save FILE   write this chat to a file
/load FILE   continue a chat from a file
/help        show this
/exit        end (or Ctrl-D)
//text       send a message that starts with /
Ctrl-C stops a reply. A line that ends in \\ continues on the next one; pasted lines are one message.`,
    stopped: '(stopped)',
    full: '(cut off: --max-tokens reached, or no positions left)',
    leave: 'Press Ctrl-C again or Ctrl-D to exit.',
    reset: 'A new chat.',
    saved: (file, count) => `Saved ${count} messages in ${file}.`,
    loaded: (file, count) => `Loaded ${count} messages from ${file}.`,
    needsFile: (command) => `${command} needs a file name: ${command} chat.json`,
    unknown: (command) =>
      `There is no command ${command}; /help lists them. To send it as a message, write /${command}`,
    empty: 'There is nothing to save yet.',
  },
  ko: {
    welcome: '메시지를 쓰고 Enter를 누르세요. /help는 명령 목록, Ctrl-D는 끝내기입니다.',
    help: `/reset       새 대화 시작
/save 파일   대화를 파일에 저장
/load 파일   파일의 대화를 이어서 하기
/help        이 도움말
/exit        끝내기 (또는 Ctrl-D)
//글         /로 시작하는 메시지 보내기
Ctrl-C는 답변을 멈춥니다. \\로 끝나는 줄은 다음 줄로 이어지고, 붙여 넣은 여러 줄은 한 메시지입니다.`,
    stopped: '(멈춤)',
    full: '(잘림: --max-tokens 또는 모델이 담을 수 있는 길이)',
    leave: '끝내려면 Ctrl-C를 한 번 더 누르거나 Ctrl-D를 누르세요.',
    reset: '새 대화를 시작합니다.',
    saved: (file, count) => `메시지 ${count}개를 ${file}에 저장했습니다.`,
    loaded: (file, count) => `${file}에서 메시지 ${count}개를 불러왔습니다.`,
    needsFile: (command) => `${command} 뒤에 파일 이름이 필요합니다: ${command} chat.json`,
    unknown: (command) =>
      `${command} 명령은 없습니다. 목록은 /help. 메시지로 보내려면 /${command} 라고 쓰세요.`,
    empty: '아직 저장할 대화가 없습니다.',
  },
};
