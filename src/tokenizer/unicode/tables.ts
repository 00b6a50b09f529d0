// Written by scripts/build-unicode-tables.js: ranges of code points as distances in base 36.

/** ASCII punctuation and general category P, as `Punctuation` and `BertPreTokenizer` see them. */
export const PUNCTUATION =
  'x+e b+6 r+5 r+3 z 6 4 b+1 4 4 jj 9 cz+5 16+1 1g 2 3 3 19+1 l+1 2+1 e 3+1 23+3 2v 18+d 6i+2 1j+e w 7a+1 b ao lg 2j b+1 4p+e 2 12+3 20 23+4 5+1 34+5 4s h1+8 48 h9+1 19+1 27+2 20+1 4e+2 2+2 12+a 8q+1 61+1 3l+6 2+5 4t+6 4c+3 1o+4 1r+1 1t+7 c n1+n 9+j 2+c 2+b v+1 f+1 hm+3 u+1 u6+d 28+1 w+9 b8+l 1s+3 x+1 l8+3 2+1 35 40+1a 2+i cf+2 5+9 3+b h d 2r 2j mwz+1 7i+2 2s b 38+5 al+3 2f+1 15+2 2 1e+1 1c 2q+c h+1 3h+3 3j+1 h+1 6y g2b+1 5t+9 n+y 2+d 2 5 2+1 46+2 2+5 2+3 b+1 4+1 r+2 2 s 2 2+6 bf+2 il 1d bj ko 5k w 7l+8 13 35+6 1v+6 2i+3 x7+6 32+1 2+3 3j+3 1d+1 28+4 4 e 2+2 2h+5 30 f1 6z+m 2y+2 6x+2 2lu+4 dtm+1 3q 1u+4 9 g2j 5wo+4';

/** Characters that `Digits` splits off. */
export const NUMERIC =
  '1c+9 3d+1 6 3+2 142+9 3r+9 5j+9 bh+9 3b+9 5+5 31+9 3b+9 3b+9 3+5 33+c 38+9 9+6 2w+9 2x+6 8+i 32+9 2p+9 3b+9 1z+j 7h+9 1z+9 k0+j oi+2 6o+9 7+9 n+9 8d+9 3l+a 4m+9 7+9 53+9 2f+9 3r+9 7+9 t3 4+5 7+9 5j+1e 3+4 k7+1n 27+l hj+t 12i lm q+8 f+2 9k+3 3v+9 v+7 2+e x+9 14+e msh+9 59+9 8x+5 4b+9 13+9 5j+9 n+9 2f+9 bb+9 gev+9 dq+18 d+1k i+1 9i+q 11+3 u 9 3r+4 5n+9 q7+7 q+6 14+8 24+4 n+5 4h+1 3+f 3+19 1t+8 1h+1 v+2 24+4 2x+7 p+7 16+6 97+5 1d+9 7+9 7r+u 4f+9 17+3 35+6 3r+t 3l+9 1p+9 41+9 8+j 70+9 9j+9 3b+9 af+9 2v+9 7+j 25+b bp+i 2m+9 if+9 2f+s 6c+9 1z+9 1j+9 9z+9 2v+k to+32 c02+9 1t3+9 2f+9 3r+9 2+6 en+9 7b+m 9q+2 id6+9 153+j d+j 31+o uu+1d 1tt+9 br+9 dz+9 6w+9 jx+8 3l+9 m0+1m 2+2 2+3 25+18 2+e qr+c 25g+9';

/** What `BertNormalizer` cleans away. */
export const BERT_CONTROL =
  '0+8 3+1 2+h 2o+w e 11v+5 n 5d 1e 3cv 1kt+4 r+4 1e+4 2+9 11u9+4xr 16o 6y+2 2 3b4 xyb+3 440+7 h407 v+2n 1egx+1ekd 3+1ekd';

/** Marks that `BertNormalizer` strips. */
export const BERT_ACCENTS =
  'lc+33 7o+4 7e+18 2 2+1 2+1 2 21+a 1d+k h 2u+6 3+5 3+1 2+3 10 v+q 2k+a 1n+8 z+3 2+8 2+2 2+4 18+2 3s+v 1k 2 5+7 5 4+6 b+1 u 1n 5+3 9 l+1 u+1 1m 5+1 5+1 3+2 4 v+1 4 c+1 1m 5+4 2+1 5 l+1 u 1n 3 2+3 9 9 c+1 v 1q d 1f 1q+2 6+2 2+3 8+1 c+1 u 1n 3 7 6+1 l+1 u 1s+3 9 l+1 2v 8+2 2 2j 3+6 d+7 2r 3+5 2+1 c+5 23+1 s 2 2 1k+d 2+4 2+1 6+a 2+z a 2v+3 2+5 2+1 3+1 q+1 5+2 h+3 e 3+1 7 g jk+2 qb+2 u+2 u+1 v+1 1t+1 2+6 9 3+a a 1a+2 4c 3b+2 5+1 a 7+2 64+1 3 1n 2+6 2 2 3+7 7+9 3 1d+d 1v+3 1d 2+4 2 6 15+8 d+1 x+3 3+1 2+2 1l 2+1 4 2+2 1n+7 3+1 49+2 2+c 2+6 5 7 4+1 5j+1h 7+3 k1+c 5 4+b 2db+2 3y 2p+v ff+3 30+1 n9x 5+9 x+1 29+1 7l 4 5 q+1 4e s+h 1h+7 q+a 1b+2 1d 3+3 3 15 1w+5 3+1 3+1 d 9 1c 1g 2+2 3+1 6+1 2 17+1 9 6n 3 5 fn5 ki+f h+f r2 6b 46+4 1af+2 2+1 6+3 15+2 5 4m+1 10b 1j+e 1l+2 1e+3 3+1 1y+2 11+4 2+7 1r d+1 1h+8 c+2 2r+2 3 2+1 4o 4+7 m+1 1n 4 12+6 4+4 8v+5 2 5+1 2+1 6n+3 7+1 2+1 s+1 2e+7 3 2+1 2z 2 3+5 2 2u+2 3+3 2+4 gjp+4 1o+6 ux+3 f7v+1 43t+2 i+7 3+6 v+3 45+2 1j0+1i 5+1d 9 f n+4 2+e 2sh+6 gzl6+6n';

/** Marks that `StripAccents` strips. */
export const MARKS =
  'lc+33 7o+6 7c+18 2 2+1 2+1 2 21+a 1d+k h 2u+6 3+5 3+1 2+3 10 v+q 2k+a 1n+8 z+3 2+8 2+2 2+4 18+2 3d+d 2+w 1j+2 2+h 2+6 b+1 u+2 1l 2+6 3+1 3+2 a b+1 u+2 1l 2+4 5+1 3+2 4 v+1 4 c+2 1l 2+7 2+2 2+2 l+1 u+2 1l 2+6 3+1 3+2 9+1 b+1 v 1o+4 4+2 2+3 a 15+3 1n+6 2+2 2+3 8+1 c+1 u+2 1l 2+6 2+2 2+3 8+1 c+1 u+2 1n+6 2+2 2+3 a b+1 v+1 1z 5+5 2 2+7 j+1 1q 3+6 d+7 2r 3+5 2+1 c+5 23+1 s 2 2 5+1 1e+j 2+1 6+a 2+z a 2t+j o+3 5+2 2+2 3+6 4+3 e+b 2 b+3 jk+2 qb+2 u+2 u+1 v+1 1t+v a 1a+2 3c+1 z 3b+b 5+b 64+4 1m+9 2+s 3 1d+e 1u+4 1c+g 13+8 d+2 v+c 1l+d 1d+j 49+2 2+k 5 5+2 4+1 5j+1h 6+4 k1+w 2db+2 3y 2p+v ff+5 2y+1 n9x+3 2+9 x+1 29+1 7l 4 5 o+4 2h+1 1f+h r+h 1h+7 q+c 19+3 1c+d 11 1w+d d 9+1 1a+2 1f 2+2 3+1 6+1 2 16+4 6+1 6l+7 2+1 fn5 ki+f h+f r2 6b 46+4 1af+2 2+1 6+3 15+2 5 4m+1 10a+2 1i+e 1l+3 1a+a 1y+2 11+d 1r d+2 1d+d a+2 2o+b 7 4h+b m+3 1l 2+6 3+1 3+2 a b+1 3+6 4+4 5d+h 2y+j 6k+6 3+8 s+1 2b+g 2z+c 2u+e zo+7 2+7 2b+l 2+d fga+4 1o+6 t7+19 h+3 f7v+1 43r+4 4+5 9+7 3+6 v+3 45+2 1j0+1i 5+1d 9 f n+4 2+e 11t+6 2+g 3+6 2+1 2+4 1pi+6 32+6 gzhy+6n';

/** Assigned since the version of Unicode that the regular expressions know. */
export const NEWER =
  '1ov r1 3k 2r7+e 3+b 15i 251 ojc+1 3 2 t gk2+f ce+1 1j+6 29e+p 12k+2 9+8 y+1 2g5+7 g9+17 5+9 fxz+o 3+o 7z+4 4qq+7 zu+l 2q+36 cg8+2 ce+m g+g 4pc+u 2+l 9+1 34p 4f+3 9i+8 ak+3 1f 4 1m 5 t 5 7f 10zk+5 4mb+b gsj+3bd';

/** Newer than the normalization forms, or parts of what is. */
export const INERT =
  '1kt 4a+8 17+9 8b fy 73+1 am 1nf q2+u 3+b ln+4 45h n3m+3 1k n1 huo 9 8 a bh+4 2+15 2+8 12i+3 1u+4 8u+1 26+1 2+2 1z+a 1e+3 6j jv 1z+3 6 3 2+1 1d 3 2+1 6+2 3y rf+1 6z 3 5+1 5 4d 2c j 2a ix 2+1 2a bu+1 d0c 3+8 6 2es 4+3 hy+1 icl+z 3sn+1p y 4h+6 ag 1q+3 e5+3 73+1 6s 3 8+1 6 22f 22s+9';

/** Scripts that `UnicodeScripts` tells apart; characters in none of them may stand in any. */
export const SCRIPTS: readonly string[] = [
  '0+v 2+v r+5 r+1a 2+e 2+4 o w ci+12 6+4 3+j 39 a 7 2 ea 3g 7 f+1 3 x 4d ed 3m+1 yi ba+3 83 168+2 20+1 5o+1 2 y6 e 8+3 2+5 2+1 lm+b 3+2e 2+a 4+a 2+e i+u 1u+11 2+2 3+5 2+q 2+g 16+2 5+ha 2+12 q+a m+pr 75+hf 3+v 3+x 4+b 2+7 r+3 ep+1w bw+b 5+4 2 2+o g+7 5+3 2k+1 4 2j 45+f x+z 1p+1r w+28 3t+4n 535+1r hkx+x 2v+2 4m+9 6t 4h b0 g6b+1 5t+9 n+y 2+i 2+3 44 2+v r+5 r+a b 1a+1 1t+6 2+6 b+4 77+2 5+18 4+8 29+b 1h+18 6d+q 10o5+3 3tp+6t b+12 3+1p 4+g 9+1 8+t 5+1m 7s+2e a+h 3z+2c 2+1y 2+1 3 3+1 3+3 2+b 2 2+6 2+1s 2+3 3+7 2+6 2+r 2+3 2+4 2 4+6 2+9f 3+83 3+1d 4qp+17 5+2r d+e 3+e 2+e 2+10 b+c 4+u 2+1n 5+1o 1m+p 2+1 e+17 5+8 8+1 4v+r6 e+c 4+6 a+37 d+2c 18+b 5+1j 9+9 7+13 9+t 2r+e 2+7 9 3+b 2+b 5+e y+h 1b gw1t v+2n',
  '1t+p 7+p 1c g 6+m 2+u 2+cg 14+4 55o+11 7+1c 6+3 6+c 2+1x 1u+73 aa e h+c 3y+1 7 s i+14 254+v o83+2t 4+z 2+7 1s+8 mp+16 2+8 fq4+6 t7+p 7+p',
  'kq+1 93u+14 37+q',
  'lc+33 7q+1 cl+a r kh+1 3fi+e eq+2 2+c 2+6 5 7 4+1 5j+1h 6+4 el+1 5f+w 30a+3 30+1 14km+f h+d r4 6b 14sn+2 i+7 3+6 v+3 h45v+6n',
  'og+3 2+2 3+3 2 5 2 2+2 2 2+j 2+1q f+f 4yv+4 1f+4 5+4 2d 8x+l 3+5 3+11 3+5 3+7 2 2 2 2+u 3+1g 2+e 2+d 3+5 2+i 3+2 2+8 88 rb3 gyj+26 i 155s+1x',
  'rm+d 80h+37 6+6',
  'sg+3o 3+4o 4lt+8 4j 25 38o+v nr5+2n han+1',
  '10x+11 3+6 2+12 3 3+2 1chw+4',
  '13l+1i 9+q 6+4 1cfd+p 2+4 2 2+1 2+1 2+9',
  '16o+4 2+5 2+d 4 2+v 2+9 c+p 2+2z 2+x 29+1b 81+k 2+7 n+d 2+s 1bv5+35 i+a2 j+1r 3+1h 15+d 37+4 2+3q 31g+u 185e+3 2+q 2+1 2 3 2+9 2+3 2 2 7 5 2 2 2+2 2+1 2 3 2 2 2 2 2+1 2 3+3 2+6 2+3 2+3 2 2+9 2+g 6+2 2+4 2+g 1h+1',
  '1ds+d 2+1n 3+2',
  '1hc+1d',
  '1j4+1m',
  '1kw+19 3+e',
  '1mo+r 3',
  '1s0+28 3+g 3+p vhd+t',
  '1vk+3 2+7 3+1 3+l 2+6 2 4+3 3+8 3+1 3+3 9 5+1 2+4 3+l',
  '1z5+2 2+5 5+1 3+l 2+6 2+1 2+1 2+1 3 2+4 5+1 3+2 4 8+3 2 8+f',
  '22p+2 2+8 2+2 2+l 2+6 2+1 2+4 3+9 2+2 2+2 3 g+3 3+b 8',
  '269+2 2+7 3+1 3+l 2+6 2+1 2+4 3+8 3+1 3+2 9+1 5+1 2+4 3+h',
  '29u+1 2+5 4+2 2+3 4+1 2 2+1 4+1 4+2 4+b 5+4 4+2 2+3 3 7 f+k',
  '2dc+3 2+7 2+2 2+m 2+f 4+7 2+2 2+3 8+1 2+2 6+3 3+9 9+7',
  '2gw+3 2+7 2+2 2+m 2+9 2+4 3+8 2+2 2+3 8+1 8 2+3 3+9 2+1',
  '2kh+2 2+7 2+2 2+14 3+7 2+2 2+5 5+f 3+p',
  '2o2+1 2+h 4+n 2+8 2 3+6 4 5+5 2 2+7 7+9 3+2 1fcd+j',
  '2rl+1l 6+r',
  '2v5+1 2 3+1 2 3 7+3 2+6 2+2 2 2 3+1 2+c 2+2 3+4 2 2+5 3+9 3+3',
  '2yo+1z 2+z 5+12 2+z 2+e 2+6 5+1',
  '35s+4f u9t+u 2q+v',
  '3a8+11 2 6 3+16 2+3 5j5+11 2 6',
  '3cw+73 5yn+1 76+2l 36+u 1u+u nhe+s hw+8mb d+m 5+1c 7tx+u 4+5 3+5 3+5 3+2',
  '3k0+20 2+3 3+6 2 2+3 3+14 2+3 3+w 2+3 3+6 2 2+3 3+e 2+1k 2+3 3+1u 3+v 4+p 547+m a+6 2+6 2+6 2+6 2+6 2+6 2+6 2+6 opv+5 3+5 3+5 a+6 2+6',
  '3vk+2d 3+5 twz+27',
  '3y8+hr fl+1x',
  '4g0+s',
  '4gw+22 4+a',
  '4jk+c 2+6',
  '4kg+k',
  '4lc+j',
  '4m8+c 2+2 2+1',
  '4n4+2l 3+9 7+9 dj+v',
  '4qo+1 3 2+8 2+9 7+2f 9+16 1e46+c',
  '4xs+u 2+b 5+b 5 4+b',
  '500+t 3+4',
  '51c+17 5+p 7+a 4+1',
  '54w+r 3+1',
  '55s+1q 2+s 3+a 7+9 7+d',
  '5c0+23 5+18',
  '5fk+1r 75+7',
  '5hc+1f 9+3',
  '5j4+1j 4+e 4+2',
  '5lc+1b',
  '7wg+73',
  '8ow+1a 2+1a 2e1u+6 2+g 3+6 2+1 2+4',
  '8xc+1j 8+1 f',
  '96o+p 2+2g d+5x 1c 2 q+8 f+3 6+2d 7+2 2+2h 2+3 6p+f 5t+1a 2+2f 4p+52t 23+g5x hm3+a5 3+2x wd+9 2+18 yub+1 d1b 2rk+wye 16+378 c+65 3+4g1 867+f1',
  'vls+wc 4+1i',
  'wk0+1b',
  'wlc+8b',
  'www+2f 124p+fs',
  'x6o+17',
  'x8g+1j',
  'xa8+1x 9+b',
  'xds+19 2',
  'xf4+z c',
  'xhc+25 3+9 5+1',
  'xkw+1i a+d 3+9 3+3',
  'xog+1u p+4',
  'xr4+m 5m+19 3+9',
  '1ekg+b 2+p 2+i 2+1 2+e 3+d z+3e',
  '1f28+s',
  '1f34+1c',
  '1f5s+z',
  '1f74+q',
  '1f80+16',
  '1f9c+t 2',
  '1fa8+z 5+d',
  '1fcw+27',
  '1ff4+1b',
  '1fgg+t 3+9',
  '1fhs+z 5+z',
  '1fk0+13',
  '1flc+1f c',
  '1fr4+8m a+l b+7',
  '1g5c+5 3 2+17 2+1 4 3',
  '1g74+l 2+8',
  '1g80+v',
  '1g8w+u 9+8',
  '1gbk+i 2+1 6+4',
  '1gcg+r 4',
  '1gdc+p 6',
  '1gg0+v',
  '1ggw+n 5+j 3+19',
  '1gjk+3 2+1 6+7 2+2 2+q 5+2 5+8 9+8',
  '1gm8+v',
  '1gn4+v',
  '1gow+12 5+b',
  '1gqo+1h 4+6',
  '1gsg+l 3+7',
  '1gtc+i 6+7',
  '1gu8+h 8+3 d+6',
  '1gxs+20',
  '1h1c+1e e+1e 8+5',
  '1hq8+25 5+t g',
  '1hts+1t',
  '1hw0+o 8+9',
  '1hxc+1g 2+d',
  '1hzk+12',
  '1i0w+25 3+f',
  '1i4g+h 2+17',
  '1i80+6 2 2+3 2+e 2+a',
  '1i9c+1m 6+9',
  '1ibk+3 2+7 3+1 3+l 2+6 2+1 2+4 3+8 3+1 3+2 3 7 6+6 3+6 4+4',
  '1iio+2h 2 2',
  '1im8+1z 9+9',
  '1itc+1h 3+11',
  '1iww+1w c+9',
  '1j0g+1j 9+9',
  '1j40+p 4+e 5+f',
  '1jfk+2a d',
  '1juo+1k',
  '1k3k+8 2+18 2+d b+s',
  '1k6o+v 3+l 2+d',
  '1kw0+pl 2v+32 2+4 c+5f',
  '1o1s+tq',
  '1s00+g6',
  '1zk0+u 2+9 5+1',
  '1zo0+t 3+5',
  '1zpc+1x b+9 2+6 2+k 6+i',
  '20hs+1w c+1a h+g',
  '20o0 w+4q4 k+ky',
  '2fpc+2y 6+c 4+8 8+9 3+3',
  '2l8g+i3 g+4 2+e',
  '2oe8+5g 3+f',
  '2olc+22 6+9 5+1',
];
