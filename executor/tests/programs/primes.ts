// AssemblyScript: the primes below a number that it reads, by a sieve. `console` and `process` come from its WASI shim.
const buffer = new ArrayBuffer(64);
const count = process.stdin.read(buffer);
const limit = i32.parse(String.UTF8.decode(buffer.slice(0, count)).trim());
const composite = new Uint8Array(limit);
const primes: string[] = [];
for (let i = 2; i < limit; i++) {
  if (composite[i]) continue;
  primes.push(i.toString());
  for (let j = i * i; j < limit; j += i) composite[j] = 1;
}
console.log(primes.join(" "));
console.log("sum of roots " + primes.reduce((sum, p) => sum + Math.sqrt(parseFloat(p)), 0.0).toString());
