/** Speed as an exponential average over recent steps: it follows changes, and one slow step does not distort it. */
export class Pace {
  #seconds = 0;
  #tokens = 0;
  #weight = 0;

  add(tokens: number, seconds: number): void {
    const keep = 0.9;
    this.#seconds = keep * this.#seconds + seconds;
    this.#tokens = keep * this.#tokens + tokens;
    this.#weight = keep * this.#weight + 1;
  }

  get tokensPerSecond(): number {
    return this.#tokens / this.#seconds;
  }

  get secondsPerStep(): number {
    return this.#seconds / this.#weight;
  }
}
