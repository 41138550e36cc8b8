/* One lane of a capacity challenge, free-standing: fills memory from a seed and walks through it where the contents lead.
 *
 * Standard input: "mebibytes steps seed\n", the seed as 64 hexadecimal digits. The lane is the segment's number
 * (GONGSUAN_SEGMENT). Standard output: 32 bytes that depend on every step. Exits with 2 on input that it does not understand.
 *
 * Each word of memory depends on the one before, so memory cannot be computed out of order; each step reads where the last
 * one pointed and writes there, so that a step waits for the memory and what was computed once cannot be computed again
 * instead of kept.
 */

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name)))
struct iovec { void *at; u32 bytes; };
WASI(fd_read) u32 fd_read(u32 fd, const struct iovec *list, u32 count, u32 *bytes);
WASI(fd_write) u32 fd_write(u32 fd, const struct iovec *list, u32 count, u32 *bytes);
WASI(environ_sizes_get) u32 environ_sizes_get(u32 *count, u32 *bytes);
WASI(environ_get) u32 environ_get(char **list, char *bytes);
WASI(proc_exit) _Noreturn void proc_exit(u32 code);

#define LANE "GONGSUAN_SEGMENT="
#define MEBIBYTES_MAX 1000

static char text[256], environment[1024];
static char *variables[32];

static u64 mix(u64 x) {
  x ^= x >> 30; x *= 0xbf58476d1ce4e5b9ull;
  x ^= x >> 27; x *= 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

static u64 number(const char **at) {
  u64 value = 0;
  const char *start = *at;
  for (; **at >= '0' && **at <= '9'; ++*at) value = value * 10 + (u64)(**at - '0');
  if (*at == start || *at - start > 15) proc_exit(2);
  return value;
}

static void space(const char **at) {
  if (**at != ' ') proc_exit(2);
  ++*at;
}

static u64 lane(void) {
  u32 count, bytes;
  if (environ_sizes_get(&count, &bytes) || count > 32 || bytes > sizeof environment) proc_exit(2);
  if (environ_get(variables, environment)) proc_exit(2);
  for (u32 i = 0; i < count; i++) {
    const char *name = LANE, *at = variables[i];
    while (*name && *at == *name) { at++; name++; }
    if (!*name) return number(&at);
  }
  proc_exit(2);
}

void _start(void) {
  u32 got = 0;
  struct iovec in = {text, sizeof text - 1};
  if (fd_read(0, &in, 1, &got)) proc_exit(2);
  const char *at = text;
  u64 mebibytes = number(&at);
  space(&at);
  u64 steps = number(&at);
  space(&at);
  if (mebibytes == 0 || mebibytes > MEBIBYTES_MAX) proc_exit(2);

  u64 state[4] = {lane(), mebibytes, steps, 0};
  for (int word = 0; word < 4; word++) {
    u64 value = 0;
    for (int digit = 0; digit < 16; digit++, at++) {
      u32 c = (u8)*at;
      u32 nibble = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
      if (nibble > 15) proc_exit(2);
      value = value << 4 | nibble;
    }
    state[word] = mix(state[word] ^ value) + (u64)word;
  }

  u32 first = __builtin_wasm_memory_grow(0, (u32)(mebibytes * 16));
  if (first == 0xffffffffu) proc_exit(3);
  u64 *memory = (u64 *)((unsigned long)first * 65536);
  u64 words = mebibytes << 17, last = mix(state[0] ^ state[3]);
  for (u64 i = 0; i < words; i++) {
    last = mix(last + state[i & 3] + i);
    memory[i] = last;
  }
  u64 place = last;
  for (u64 step = 0; step < steps; step++) {
    u64 i = (u64)(((place >> 32) * words) >> 32);
    u64 value = memory[i];
    place = mix(place ^ value ^ step);
    memory[i] = value + place;
    state[step & 3] ^= place;
  }
  for (int word = 0; word < 4; word++) state[word] = mix(state[word] ^ (place + (u64)word));
  struct iovec out = {state, sizeof state};
  if (fd_write(1, &out, 1, &got)) proc_exit(2);
}
