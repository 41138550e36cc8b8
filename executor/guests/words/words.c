/* Counts words: the example of a job that maps over files and then reduces.
 *
 *   words          reads a text, writes a line "word count" for each word, in the order of the bytes
 *   words merge    reads such lines, of as many lists as there are one after another, and writes the list of their sums
 *
 * A word is a run of ASCII letters and of bytes above 127 (so that UTF-8 stays whole), in lower case, cut off after 64 bytes.
 */
#include "../wasi.h"

#define TEXT_BYTES (4u << 20)
#define SLOTS (1u << 16)
#define WORD_BYTES 64u

struct word { u32 at, length; u64 count; };

static u8 text[TEXT_BYTES + 1], out[TEXT_BYTES * 2];
static struct word table[SLOTS];
static struct word *order[SLOTS];
static u32 used;

static int is_letter(u8 byte) { return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte > 127; }

static void count(u32 at, u32 length, u64 times) {
  u32 hash = 2166136261u;
  for (u32 i = 0; i < length; i++) hash = (hash ^ text[at + i]) * 16777619u;
  for (u32 slot = hash % SLOTS;; slot = (slot + 1) % SLOTS) {
    struct word *word = &table[slot];
    if (word->length == 0) {
      if (used == SLOTS / 2) refuse("more different words than this program can hold: 32768");
      *word = (struct word){at, length, times};
      order[used++] = word;
      return;
    }
    u32 i = 0;
    if (word->length == length) while (i < length && text[word->at + i] == text[at + i]) i++;
    if (i == length) {
      if (__builtin_add_overflow(word->count, times, &word->count)) refuse("a count is too large");
      return;
    }
  }
}

static void count_text(u32 length) {
  for (u32 at = 0; at < length;) {
    u32 end = at;
    for (; end < length && is_letter(text[end]); end++) if (text[end] >= 'A' && text[end] <= 'Z') text[end] += 'a' - 'A';
    if (end > at) count(at, end - at < WORD_BYTES ? end - at : WORD_BYTES, 1);
    at = end + 1;
  }
}

static void merge_lists(u32 length) {
  for (u32 at = 0; at < length;) {
    u32 end = at;
    while (end < length && is_letter(text[end])) end++;
    if (end == at || end - at > WORD_BYTES || text[end] != ' ') refuse("a line is not \"word count\"");
    u64 times = 0;
    u32 digit = end + 1;
    for (; digit < length && text[digit] >= '0' && text[digit] <= '9'; digit++) {
      u64 value = (u64)(text[digit] - '0');
      if (times > (~0ull - value) / 10) refuse("a count is too large");
      times = times * 10 + value;
    }
    if (digit == end + 1 || digit == length || text[digit] != '\n') refuse("a line is not \"word count\"");
    count(at, end - at, times);
    at = digit + 1;
  }
}

static int is_before(const struct word *a, const struct word *b) {
  for (u32 i = 0; i < a->length && i < b->length; i++) if (text[a->at + i] != text[b->at + i]) return text[a->at + i] < text[b->at + i];
  return a->length < b->length;
}

/* Heap sort: no recursion, and no bad case. */
static void sink(u32 at, u32 end) {
  for (u32 child; (child = 2 * at + 1) < end; at = child) {
    if (child + 1 < end && is_before(order[child], order[child + 1])) child++;
    if (!is_before(order[at], order[child])) return;
    struct word *other = order[at];
    order[at] = order[child];
    order[child] = other;
  }
}

static void sort(void) {
  for (u32 at = used / 2; at-- > 0;) sink(at, used);
  for (u32 end = used; end-- > 1;) {
    struct word *last = order[0];
    order[0] = order[end];
    order[end] = last;
    sink(0, end);
  }
}

void _start(void) {
  static char *list[64];
  static char bytes[4096];
  u32 arguments, size;
  if (args_sizes_get(&arguments, &size) || arguments > 64 || size > sizeof bytes) refuse("too many arguments");
  args_get(list, bytes);
  u32 length = read_all(text, TEXT_BYTES);
  if (arguments > 1 && list[1][0] == 'm') merge_lists(length); else count_text(length);
  sort();
  u32 put = 0;
  for (u32 i = 0; i < used; i++) {
    u8 digits[20];
    u32 first = sizeof digits;
    u64 rest = order[i]->count;
    do digits[--first] = (u8)('0' + rest % 10); while (rest /= 10);
    if (sizeof out - put < order[i]->length + 22) refuse("the list is too long");
    for (u32 k = 0; k < order[i]->length; k++) out[put++] = text[order[i]->at + k];
    out[put++] = ' ';
    while (first < sizeof digits) out[put++] = digits[first++];
    out[put++] = '\n';
  }
  write_all(out, put);
}
