# Python, run by an interpreter that is itself the job's program: reads the segment's input and a file that the module carries.
import collections, hashlib, json, math, os, random, sys, time

text = open("/input").read()
words = collections.Counter(text.split())
names = sorted(os.listdir("/"))
table = json.load(open("/data/table.json"))
print("segment", os.environ["GONGSUAN_SEGMENT"], "of", os.environ["GONGSUAN_SEGMENTS"])
print("python", ".".join(map(str, sys.version_info[:2])), "files", names)
print("words", sum(words.values()), words.most_common(2))
print("digest", hashlib.sha256(text.encode()).hexdigest()[:16])
print("table", {key: round(math.sqrt(value), 6) for key, value in table.items()})
print("dice", [random.Random(7).randint(1, 6) for _ in range(3)], "year", time.gmtime().tm_year)
try:
    open("/data/new", "w")
except OSError as error:
    print("writing", type(error).__name__, error.errno)
try:
    open("/data/../../etc/passwd")
except OSError as error:
    print("escaping", type(error).__name__)
