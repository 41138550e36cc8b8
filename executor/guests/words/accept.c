/* A predicate for lists of words: accepts lines "word count" whose words ascend and whose counts are not zero. It cannot know whether the counts are
 * right, only that the list is one: which is what predicates are for, and their limit. */
#include "../wasi.h"

static u8 text[4u << 20];

static int is_digit(u8 byte) { return byte >= '0' && byte <= '9'; }

void _start(void) {
  u32 length = read_all(text, sizeof text), before = 0, before_length = 0;
  for (u32 at = 0; at < length;) {
    u32 space = at;
    while (space < length && text[space] > ' ') space++;
    if (space == at || space + 1 >= length || text[space] != ' ') refuse("a line is not \"word count\"");
    u32 end = space + 1;
    if (text[end] == '0') refuse("a count is zero");
    while (end < length && is_digit(text[end])) end++;
    if (end == space + 1 || end == length || text[end] != '\n') refuse("a line is not \"word count\"");
    u32 i = 0, word_length = space - at;
    while (i < before_length && i < word_length && text[before + i] == text[at + i]) i++;
    int ascends = i == before_length ? word_length > before_length : i < word_length && text[at + i] > text[before + i];
    if (!ascends) refuse("the words do not ascend");
    before = at, before_length = word_length, at = end + 1;
  }
}
