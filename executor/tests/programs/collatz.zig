// The longest Collatz sequence below each number on its input. Built for the machine and for WASI, with no library but the C one.
extern fn getchar() c_int;
extern fn printf(format: [*:0]const u8, ...) c_int;

fn steps(from: u64) u32 {
    var n = from;
    var count: u32 = 0;
    while (n != 1) : (count += 1) {
        n = if (n % 2 == 0) n / 2 else 3 * n + 1;
    }
    return count;
}

fn longest(below: u64) void {
    var best: u64 = 1;
    var most: u32 = 0;
    var n: u64 = 1;
    while (n < below) : (n += 1) {
        const count = steps(n);
        if (count > most) {
            most = count;
            best = n;
        }
    }
    _ = printf("%llu: %llu takes %u steps\n", below, best, most);
}

pub fn main() u8 {
    var number: u64 = 0;
    while (true) {
        const c = getchar();
        if (c >= '0' and c <= '9') {
            number = number * 10 + @as(u64, @intCast(c - '0'));
        } else {
            if (number > 0) longest(number);
            number = 0;
            if (c < 0) break;
        }
    }
    return 0;
}
