/* Counts the words of standard input and prints them by number and name, with some arithmetic: an ordinary program of the C library, which
 * knows nothing of jobs. The same source runs natively and as a job, and must print the same.
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct word { char *text; unsigned count; };
static struct word *words;
static size_t used, room;

static void add(const char *text) {
  for (size_t i = 0; i < used; i++) if (!strcmp(words[i].text, text)) { words[i].count++; return; }
  if (used == room) {
    room = room ? room * 2 : 4;
    words = realloc(words, room * sizeof *words);
    if (!words) { fprintf(stderr, "no memory for %zu words\n", room); exit(3); }
  }
  words[used].text = strdup(text);
  words[used++].count = 1;
}

static int order(const void *a, const void *b) {
  const struct word *x = a, *y = b;
  return x->count != y->count ? (x->count < y->count ? 1 : -1) : strcmp(x->text, y->text);
}

int main(int argc, char **argv) {
  char text[64];
  size_t length = 0;
  int letter;
  double squares = 0;
  while ((letter = getchar()) != EOF || length) {
    if (letter != EOF && isalpha(letter) && length + 1 < sizeof text) { text[length++] = (char)tolower(letter); continue; }
    if (length) { text[length] = 0; add(text); squares += (double)(length * length); length = 0; }
    if (letter == EOF) break;
  }
  qsort(words, used, sizeof *words, order);
  printf("%zu words, root mean square of lengths %.6f, log %.4e\n", used, used ? sqrt(squares / (double)used) : 0, log(squares + 1));
  for (size_t i = 0; i < used; i++) printf("%6u %s\n", words[i].count, words[i].text);
  for (int i = 1; i < argc; i++) printf("argument %s\n", argv[i]);
  FILE *file = fopen("/etc/passwd-of-nobody", "r");
  fprintf(stderr, "%s\n", file ? "a file where there is none" : "no file");
  return file ? 4 : used == 0;
}
