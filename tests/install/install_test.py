#!/usr/bin/env python3
"""Install to a prefix of its own, look at what is there, build consumers.

usage: install_test.py SOURCE_ROOT MESON_CMD CC_CMD CXX_CMD LIBRARY_VERSION SONAME REDIS_SONAME

REDIS_SONAME is empty if the library was built without Redis.
"""
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap

HEADERS = ["ws_hub.h"] + [f"ws_hub/{name}.h" for name in (
    "backoff", "broker", "conn", "error", "export", "fault", "hub", "loop", "metrics", "options", "version")]
STRICT = "-Wall -Wextra -Wconversion -pedantic -Werror"


def command(*args, **kwargs):
    result = subprocess.run(args, text=True, capture_output=True, **kwargs)
    assert result.returncode == 0, \
        f"{shlex.join(map(str, args))}: status {result.returncode}\n{result.stdout}{result.stderr}"
    return result.stdout.strip()


class Install:
    def __init__(self, work):
        source, meson, cc, cxx, self.version, self.soname, self.redis_soname = sys.argv[1:]
        self.source = pathlib.Path(source)
        self.meson, self.cc, self.cxx = map(shlex.split, (meson, cc, cxx))
        self.work = work
        self.prefix = work / "prefix"
        self.static_prefix = work / "static"
        self.shared_lib = self.prefix / "lib" / self.soname

    def install(self):
        build = self.work / "build"
        env = dict(os.environ, CC=shlex.join(self.cc))
        command(*self.meson, "setup", build, self.source, f"--prefix={self.prefix}", "--libdir=lib",
                "-Dtests=false", "-Dexamples=false", "-Ddefault_library=both", "-Dbuildtype=release",
                env=env)
        command(*self.meson, "install", "-C", build)
        # The linker prefers a shared library: a second prefix has only the static one.
        shutil.copytree(self.prefix, self.static_prefix, symlinks=True)
        for path in (self.static_prefix / "lib").glob("libws_hub*.so*"):
            path.unlink()
        for pc in (self.static_prefix / "lib/pkgconfig").glob("*.pc"):
            pc.write_text(pc.read_text().replace(str(self.prefix), str(self.static_prefix)))

    def files(self):
        have = {str(path.relative_to(self.prefix)) for path in self.prefix.rglob("*") if not path.is_dir()}
        want = {f"include/{name}" for name in HEADERS} | {
            "lib/libws_hub.a", "lib/libws_hub.so", f"lib/{self.soname}",
            f"lib/{self.soname}.0.0", "lib/pkgconfig/ws_hub.pc"}
        if self.redis_soname:
            want |= {"include/ws_hub/redis.h", "lib/libws_hub_redis.a", "lib/libws_hub_redis.so",
                     f"lib/{self.redis_soname}", f"lib/{self.redis_soname}.0.0", "lib/pkgconfig/ws_hub_redis.pc"}
        assert have == want, f"missing: {sorted(want - have)}, too many: {sorted(have - want)}"

    def soname_is_set(self):
        dynamic = command("readelf", "-d", self.shared_lib)
        assert f"Library soname: [{self.soname}]" in dynamic, dynamic
        assert "hiredis" not in dynamic, dynamic

    def redis_soname_is_set(self):
        self.need_redis()
        dynamic = command("readelf", "-d", self.prefix / "lib" / self.redis_soname)
        assert f"Library soname: [{self.redis_soname}]" in dynamic, dynamic
        assert "hiredis" in dynamic and f"NEEDED)             Shared library: [{self.soname}]" in dynamic, dynamic

    def need_redis(self):
        if not self.redis_soname:
            raise tap.Skip("built without Redis")

    def pkg_config(self, *args, prefix=None, package="ws_hub"):
        path = (prefix or self.prefix) / "lib/pkgconfig"
        return command("pkg-config", *args, package, env=dict(os.environ, PKG_CONFIG_PATH=str(path)))

    def public_flags(self):
        assert self.pkg_config("--modversion") == self.version
        libs = self.pkg_config("--libs").split()
        assert libs == [f"-L{self.prefix}/lib", "-lws_hub"], libs

    def static_flags(self):
        libs = self.pkg_config("--static", "--libs").split()
        missing = {"-lwebsockets", "-luv", "-ljansson", "-lcrypto"} - set(libs)
        assert not missing, f"{sorted(missing)} not in {libs}"

    def redis_flags(self):
        self.need_redis()
        libs = self.pkg_config("--libs", package="ws_hub_redis").split()
        assert libs == [f"-L{self.prefix}/lib", "-lws_hub_redis", "-lws_hub"], libs
        libs = self.pkg_config("--static", "--libs", package="ws_hub_redis").split()
        assert "-lhiredis" in libs, libs

    def redis_consumer(self, static):
        self.need_redis()
        self.consumer(f"redis_{static}", self.cc, "-x c -std=c11", static,
                      source="redis_consumer.c", package="ws_hub_redis")

    def consumer(self, name, compiler, language, static, source="consumer.c", package="ws_hub"):
        prefix = self.static_prefix if static else self.prefix
        program = self.work / name
        flags = ["--static"] if static else []
        cflags = self.pkg_config(*flags, "--cflags", prefix=prefix, package=package).split()
        libs = self.pkg_config(*flags, "--libs", prefix=prefix, package=package).split()
        command(*compiler, *language.split(), *STRICT.split(), *cflags, self.source / "tests/install" / source,
                "-x", "none", "-o", program, *libs)
        needed = command("readelf", "-d", program)
        assert (f"[{self.soname}]" in needed) != static, needed
        env = dict(os.environ, LD_LIBRARY_PATH=str(prefix / "lib"))
        out = command(program, f"unix:{self.work}/{name}.socket", env=env, timeout=30)
        assert out == self.version, out

    def c_consumer(self, static):
        self.consumer(f"c_{static}", self.cc, "-x c -std=c11", static)

    def cxx_consumer(self, static):
        if not self.cxx:
            raise tap.Skip("no C++ compiler")
        self.consumer(f"cxx_{static}", self.cxx, "-x c++ -std=c++17", static)


def main():
    with tempfile.TemporaryDirectory(prefix="ws_hub_install_") as work:
        it = Install(pathlib.Path(work))
        tap.run([("test_install_into_a_prefix_succeeds", it.install),
                 ("test_install_puts_exactly_the_public_files", it.files),
                 ("test_install_library_has_its_soname", it.soname_is_set),
                 ("test_install_pkg_config_needs_ws_hub_alone", it.public_flags),
                 ("test_install_pkg_config_static_names_the_rest", it.static_flags),
                 ("test_install_c_consumer_shared_runs", lambda: it.c_consumer(False)),
                 ("test_install_c_consumer_static_runs", lambda: it.c_consumer(True)),
                 ("test_install_cxx_consumer_shared_runs", lambda: it.cxx_consumer(False)),
                 ("test_install_cxx_consumer_static_runs", lambda: it.cxx_consumer(True)),
                 ("test_install_redis_library_has_its_soname", it.redis_soname_is_set),
                 ("test_install_redis_pkg_config_needs_both", it.redis_flags),
                 ("test_install_redis_consumer_shared_runs", lambda: it.redis_consumer(False)),
                 ("test_install_redis_consumer_static_runs", lambda: it.redis_consumer(True))])


main()
