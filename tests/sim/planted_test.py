"""The simulation must find planted bugs: a check that cannot fail is no check.

Usage: planted_test.py SOURCE_ROOT VERSION_INCLUDE_DIR CC [CC arguments]

Each plant replaces one line of the library in a copy of the tree; a simulation
is built with it and must fail within a few seeds. Prints TAP.
"""
import os
import shutil
import subprocess
import sys
import tempfile

PLANTS = [
    ("a lost message", "lib/hub/fanout.c",
     "            wsh_conn_offer(member->conn, &offer, member->sub, 0, "
     "block->count);",
     "            if (block->len % 64 != 7)\n"
     "                wsh_conn_offer(member->conn, &offer, member->sub, 0,\n"
     "                               block->count);"),
    ("a message delivered twice", "lib/hub/fanout.c",
     "    if (block->excludes)\n        mark_left_out(shard, block, false);",
     "    if (group->count && block->len % 64 == 7)\n"
     "        wsh_conn_offer(group->members[0].conn, &offer,\n"
     "                       group->members[0].sub, 0, 1);\n"
     "    if (block->excludes)\n        mark_left_out(shard, block, false);"),
    ("an excluded sender that hears itself", "lib/hub/fanout.c",
     "    if (block->excludes)\n        mark_left_out(shard, block, true);", ""),
    ("a double free of a block", "lib/hub/outq.c",
     "        wsh_block_unref(head->block);\n        pop(queue);",
     "        wsh_block_unref(head->block);\n"
     "        if (head->block->len % 64 == 7)\n"
     "            wsh_block_unref(head->block);\n        pop(queue);"),
    ("a count that is off by one", "lib/hub/sending.c",
     "    offer->tally.offered += count;",
     "    offer->tally.offered += count + (count == 3);"),
    ("two messages that change places", "lib/hub/outq.c",
     "    wsh_block_ref(block);\n    out = insert(queue, queue->len);",
     "    wsh_block_ref(block);\n"
     "    out = insert(queue, queue->len > 1 && !queue->urgent\n"
     "                            ? queue->len - 1 : queue->len);"),
    ("a control frame inside another frame", "lib/hub/outq.c",
     "        p += (uint32_t)wsh_frame_size(out->block->data + p);",
     "        p = out->at;"),
    ("a subscriber that misses what was published before it left",
     "lib/hub/subscribe.c",
     "    /* It still gets what was published before. */\n"
     "    wsh_channel_close_batch(channel);\n", ""),
]
# The same for the simulation of outages.
OUTAGE_PLANTS = [
    ("a loss of the link that no gap tells of", "lib/broker/topics.c",
     "    topic->missed = topic->shards;\n    return 0;", "    return 0;"),
    ("a dropped channel that is not subscribed again", "lib/broker/topics.c",
     "        set_aside(driver, topic, WSH_TOPIC_TODO);\n    }\n"
     "    wsh_topics_pump(driver);",
     "        set_aside(driver, topic, WSH_TOPIC_PARKED);\n    }\n"
     "    wsh_topics_pump(driver);"),
    ("an echo of what was delivered in an outage", "lib/broker/outage.c",
     "    held->message.flags |= WS_HUB_MESSAGE_DELIVERED;\n", ""),
]
FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-g", "-O1", "-w", "-Iinclude", "-Ilib",
         "-Itests", "-fsanitize=address"]
FOLDERS = ["lib/base", "lib/protocol", "lib/hub", "lib/metrics", "lib/broker",
           "lib/broker/memory", "lib/broker/fault", "tests/sim"]
SUPPORT = ["fake_loop.c", "pipe.c", "ws_peer.c"]
SEEDS, STEPS = 12, 12000
# Files of tests/sim that only one of the programs has.
ONLY = {"sim": ["sim_test.c"],
        "outage": ["outage_book.c", "outage_server.c", "outage_test.c"]}


def sources(root):
    found = [f"tests/support/{name}" for name in SUPPORT]
    for folder in FOLDERS:
        names = sorted(os.listdir(os.path.join(root, folder)))
        found += [f"{folder}/{name}" for name in names
                  if name.endswith(".c") and name != "policy_test.c"]
    return found


def compile_one(cc, root, version_dir, source, output):
    return subprocess.Popen(
        cc + FLAGS + [f"-I{version_dir}", "-c", source, "-o", output], cwd=root)


def compile_all(cc, root, version_dir, files, objects):
    """Two at a time; raises if one fails."""
    running = []
    for source in files:
        running.append(compile_one(cc, root, version_dir, source,
                                   objects[source]))
        if len(running) == 2 and running.pop(0).wait():
            raise SystemExit(f"compiling failed before {source}")
    for process in running:
        if process.wait():
            raise SystemExit("compiling failed")


def link(cc, objects, program, output):
    others = [f"tests/sim/{name}" for key, names in ONLY.items()
              if key != program for name in names]
    chosen = sorted(path for source, path in objects.items()
                    if source not in others)
    subprocess.run(cc + ["-fsanitize=address"] + chosen
                   + ["-o", output, "-ljansson", "-lcrypto", "-lpthread"],
                   check=True)


def first_failing_seed(program):
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
    for seed in range(1, SEEDS + 1):
        done = subprocess.run([program, str(seed), str(STEPS)], env=env,
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, timeout=300)
        if done.returncode:
            return seed
    return None


def plant(root, path, old, new):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        text = file.read()
    if text.count(old) != 1:
        return False
    with open(os.path.join(root, path), "w", encoding="utf-8") as file:
        file.write(text.replace(old, new))
    return True


def main():
    source_root, version_dir, cc = sys.argv[1], sys.argv[2], sys.argv[3:]
    version_dir = os.path.abspath(version_dir)
    with tempfile.TemporaryDirectory() as scratch:
        root = os.path.join(scratch, "tree")
        for folder in ("include", "lib", "tests/sim", "tests/support"):
            shutil.copytree(os.path.join(source_root, folder),
                            os.path.join(root, folder))
        files = sources(root)
        objects = {name: os.path.join(scratch, name.replace("/", "_") + ".o")
                   for name in files}
        compile_all(cc, root, version_dir, files, objects)
        program = os.path.join(scratch, "program")
        plants = ([(*row, "sim") for row in PLANTS]
                  + [(*row, "outage") for row in OUTAGE_PLANTS])
        print(f"1..{len(plants) + len(ONLY)}")
        failed = False
        for number, which in enumerate(ONLY, 1):
            link(cc, objects, which, program)
            wrong = first_failing_seed(program) is not None
            print("not ok" if wrong else "ok", number,
                  f"- {which}: nothing planted, nothing found", flush=True)
            failed |= wrong
        for number, (name, path, old, new, which) in enumerate(plants,
                                                               len(ONLY) + 1):
            original = os.path.join(root, path)
            shutil.copy(original, original + ".kept")
            seed = None
            if plant(root, path, old, new):
                compile_all(cc, root, version_dir, [path], objects)
                link(cc, objects, which, program)
                seed = first_failing_seed(program)
            else:
                print(f"# the line to replace in {path} is not there once")
            print("ok" if seed else "not ok", number, f"- {name}",
                  f"(seed {seed})" if seed else "was not found", flush=True)
            failed |= seed is None
            shutil.move(original + ".kept", original)
            compile_all(cc, root, version_dir, [path], objects)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
