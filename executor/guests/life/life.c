/* Conway's Game of Life on a torus: the example of a job that iterates.
 *
 * Reads a board, lines of equal length of '.' and '#', and writes the board some generations later. How many is the first argument; one without it.
 */
#include "../wasi.h"

#define SIDE 1024u

static u8 text[SIDE * (SIDE + 1) + 1], now[SIDE * SIDE], next[SIDE * SIDE];

static u32 number(const char *digits) {
  u32 value = 0;
  for (; *digits; digits++) {
    if (*digits < '0' || *digits > '9' || value > 100000) refuse("the argument is no number of generations from 0 to 1000000");
    value = value * 10 + (u32)(*digits - '0');
  }
  return value;
}

void _start(void) {
  static char *list[64];
  static char bytes[4096];
  u32 arguments, size;
  if (args_sizes_get(&arguments, &size) || arguments > 64 || size > sizeof bytes) refuse("too many arguments");
  args_get(list, bytes);
  u32 generations = arguments > 1 ? number(list[1]) : 1;

  u32 length = read_all(text, sizeof text), width = 0, height;
  while (width < length && text[width] != '\n') width++;
  if (width == 0 || width > SIDE || length % (width + 1) != 0) refuse("the board is no rectangle of at most 1024 by 1024");
  height = length / (width + 1);
  if (height > SIDE) refuse("the board is no rectangle of at most 1024 by 1024");
  for (u32 y = 0; y < height; y++) {
    const u8 *row = text + y * (width + 1);
    for (u32 x = 0; x < width; x++) {
      if (row[x] != '.' && row[x] != '#') refuse("a cell is neither '.' nor '#'");
      now[y * width + x] = row[x] == '#';
    }
    if (row[width] != '\n') refuse("a line has another length than the first");
  }

  for (; generations > 0; generations--) {
    for (u32 y = 0; y < height; y++) {
      const u8 *here = now + y * width;
      const u8 *above = now + (y == 0 ? height - 1 : y - 1) * width, *below = now + (y + 1 == height ? 0 : y + 1) * width;
      for (u32 x = 0; x < width; x++) {
        u32 left = x == 0 ? width - 1 : x - 1, right = x + 1 == width ? 0 : x + 1;
        u32 near = above[left] + above[x] + above[right] + here[left] + here[right] + below[left] + below[x] + below[right];
        next[y * width + x] = near == 3 || (near == 2 && here[x]);
      }
    }
    for (u32 i = 0; i < width * height; i++) now[i] = next[i];
  }

  for (u32 y = 0; y < height; y++) {
    for (u32 x = 0; x < width; x++) text[y * (width + 1) + x] = now[y * width + x] ? '#' : '.';
  }
  write_all(text, length);
}
