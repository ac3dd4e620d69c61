# Builds everything into build/, from the sources in $(srcdir). `make help` lists the targets.

.DELETE_ON_ERROR:
.SUFFIXES:

# These install what is missing, and then make run-...: configure can look for what is needed only
# when that is there.
after_deps = demo bench bench-cache bench-codec bench-redis bench-requests bench-session bench-stampede check check-long \
	check-servers check-web fuzz fuzz-afl
needs_nothing = bench-report deps requirements clean distclean help
.PHONY: all lib tool bench-tool python test-programs fuzz-programs bench-programs install install-lib \
	install-tool install-python uninstall test $(after_deps) $(after_deps:%=run-%) $(needs_nothing)

all: lib tool bench-tool python

# What configure found. It runs by itself where it has not yet, or is newer.
srcdir = .
ifneq ($(filter-out $(after_deps) $(needs_nothing),$(or $(MAKECMDGOALS),all)),)
include build/config.mk
build/config.mk: $(srcdir)/configure $(srcdir)/schema/coat_version.h
	$(srcdir)/configure $(configure_args)
else
-include build/config.mk
endif

CPPFLAGS_ALL = -I$(srcdir)/schema -I$(srcdir)/backend -Ibuild $(COAT_CPPFLAGS) $(DEPS_CFLAGS) \
	$(CPPFLAGS)
CFLAGS_ALL = $(COAT_CFLAGS) $(CFLAGS)
LDFLAGS_ALL = $(COAT_LDFLAGS) $(LDFLAGS)
LIBS_ALL = $(DEPS_LIBS) $(LIBS)

# ---- The library ----------------------------------------------------------------------------

SOVERSION = $(basename $(VERSION))
public_headers = $(wildcard $(srcdir)/schema/coat_*.h $(srcdir)/backend/coat*.h)
lib_objects = $(patsubst $(srcdir)/%.c,build/obj/%.o,$(wildcard $(srcdir)/schema/*.c \
	$(srcdir)/backend/*.c))

lib: build/libcoatcheck.a build/libcoatcheck.so

build/obj/%.o: $(srcdir)/%.c build/config.mk
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

build/libcoatcheck.a: $(lib_objects)
	rm -f $@
	$(AR) rcs $@ $(lib_objects)

# What a public header declares with COAT_API is visible, and nothing else is; this keeps in what
# a static library that we link might bring along.
build/libcoatcheck.map: build/config.mk
	echo 'COATCHECK_$(SOVERSION) { global: coat_*; local: *; };' >$@

# nodelete: a thread that resolves a name may run its code when a program has unloaded it.
build/libcoatcheck.so.$(VERSION): $(lib_objects) build/libcoatcheck.map
	$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -shared -Wl,-soname,libcoatcheck.so.$(SOVERSION) \
		-Wl,-z,nodelete -Wl,--version-script=build/libcoatcheck.map -o $@ $(lib_objects) $(LIBS_ALL)

build/libcoatcheck.so: build/libcoatcheck.so.$(VERSION)
	ln -sf libcoatcheck.so.$(VERSION) build/libcoatcheck.so.$(SOVERSION)
	ln -sf libcoatcheck.so.$(SOVERSION) $@

# ---- The command line tool -------------------------------------------------------------------

tool_objects = $(patsubst $(srcdir)/%.c,build/obj/%.o,$(wildcard $(srcdir)/backend/cli/*.c))

tool: build/coatcheck

build/coatcheck: $(tool_objects) build/libcoatcheck.a
	$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $(tool_objects) build/libcoatcheck.a $(LIBS_ALL)

# ---- The benchmark tool ----------------------------------------------------------------------

# With the parts of the other one that look at a server, and read and write text.
bench_objects = $(patsubst $(srcdir)/%.c,build/obj/%.o,$(wildcard $(srcdir)/backend/bench/*.c))
bench_parts = $(addprefix build/obj/backend/cli/,survey.o output.o json_read.o json_write.o put.o)

bench-tool: build/bin/coatcheck-bench

build/bin/coatcheck-bench: $(bench_objects) $(bench_parts) build/libcoatcheck.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $(bench_objects) $(bench_parts) build/libcoatcheck.a \
		$(LIBS_ALL) -lm

# ---- The Python package ---------------------------------------------------------------------

package_files = $(patsubst $(srcdir)/pybind/%,build/python/%,$(wildcard \
	$(addprefix $(srcdir)/pybind/coatcheck/,*.py *.pyi py.typed */*.py */*.pyi)))
core_objects = $(patsubst $(srcdir)/%.c,build/obj/%.o,$(wildcard $(srcdir)/pybind/core/*.c))
core = build/python/coatcheck/_core$(PYTHON_SUFFIX)

ifneq ($(PYTHON),)
python: $(package_files) $(core)
endif

build/python/%: $(srcdir)/pybind/%
	@mkdir -p $(@D)
	cp $< $@

$(core_objects): CPPFLAGS_ALL += $(PYTHON_CFLAGS)

# Its copy of the library is its own: not seen by, and not replaced by, another in the process.
$(core): $(core_objects) build/libcoatcheck.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(filter-out -Wl$(comma)-z$(comma)defs,$(LDFLAGS_ALL)) -shared \
		-Wl,--exclude-libs,ALL -o $@ $(core_objects) build/libcoatcheck.a $(LIBS_ALL)
comma = ,

# ---- Test programs --------------------------------------------------------------------------

# A program for each tests/*/test_*.c, with its assertions; the other C files beside them help all.
c_tests = $(wildcard $(addprefix $(srcdir)/tests/,unit/*.c live/*.c fault/*.c))
test_programs = $(patsubst $(srcdir)/%.c,build/%,$(filter $(srcdir)/tests/%,$(foreach f,$(c_tests),\
	$(if $(filter test_%,$(notdir $f)),$f))))
help_objects = $(patsubst $(srcdir)/%.c,build/obj/%.o,$(foreach f,$(c_tests),\
	$(if $(filter test_%,$(notdir $f)),,$f)))
fuzz_programs = $(filter-out $(if $(PYTHON),,%/fuzz_decode),$(patsubst $(srcdir)/%.c,build/%,\
	$(wildcard $(srcdir)/tests/fuzz/fuzz_*.c)))
fuzz_driver = $(srcdir)/tests/fuzz/replay.c
bench_programs = $(patsubst $(srcdir)/%.c,build/%,$(wildcard $(srcdir)/tests/bench/*.c))

test-programs: $(test_programs)
bench-programs: $(bench_programs)
fuzz-programs: $(fuzz_programs)

CPPFLAGS_TESTS = $(filter-out -DNDEBUG,$(CPPFLAGS_ALL)) -I$(srcdir)/tests

build/obj/tests/%.o: $(srcdir)/tests/%.c build/config.mk
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_TESTS) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# tests/fault/fault.h stands between these and their allocations.
$(filter build/tests/fault/%,$(test_programs)): \
	LDFLAGS_ALL += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc

# tests/unit/resolver.h stands between these and the system's resolver.
build/tests/unit/test_resolve build/tests/live/test_names: \
	LDFLAGS_ALL += -Wl,--wrap=getaddrinfo,--wrap=freeaddrinfo,--wrap=pthread_create

# This one sees how secrets are compared.
build/tests/unit/test_constant_time: LDFLAGS_ALL += -Wl,--wrap=CRYPTO_memcmp

$(test_programs): build/%: build/obj/%.o $(help_objects) build/libcoatcheck.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $< $(help_objects) build/libcoatcheck.a -lcmocka \
		$(MSGPACK_LIBS) $(LIBS_ALL)

$(fuzz_programs): build/%: build/obj/%.o $(wildcard $(fuzz_driver)) build/libcoatcheck.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_TESTS) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $< $(fuzz_driver) \
		build/libcoatcheck.a $(MSGPACK_LIBS) $(LIBS_ALL)

$(bench_programs): build/%: build/obj/%.o build/libcoatcheck.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $< build/libcoatcheck.a $(LIBS_ALL)

# This one looks at parts of the benchmark tool.
build/tests/unit/test_bench_draw: build/obj/backend/bench/draw.o build/obj/backend/bench/histogram.o
build/tests/unit/test_bench_draw: LIBS_ALL := build/obj/backend/bench/draw.o \
	build/obj/backend/bench/histogram.o $(LIBS_ALL) -lm

# These look at a part of the command.
json_programs = build/tests/fuzz/fuzz_json build/tests/fault/test_json
json_objects = $(addprefix build/obj/backend/cli/,json_read.o json_write.o output.o put.o)
$(json_programs): $(json_objects)
$(json_programs): LIBS_ALL := $(json_objects) build/libcoatcheck.a $(LIBS_ALL)

# This one runs Python, and imports the extension that was built with it.
build/tests/fuzz/fuzz_decode: $(core) $(package_files)
build/tests/fuzz/fuzz_decode: LIBS_ALL += $(PYTHON_LIBS) -rdynamic
build/obj/tests/fuzz/fuzz_decode.o: CPPFLAGS_TESTS += $(PYTHON_CFLAGS) -I$(srcdir)/pybind/core
PYTHON_LIBS = $(shell $(PYTHON) -c 'from sysconfig import get_config_vars as v; print( \
	"-L{LIBDIR} -L{LIBPL} -Wl,-rpath,{LIBDIR} -lpython{LDVERSION} {LIBS} {SYSLIBS}".format(**v()))')

-include $(patsubst %.o,%.d,$(lib_objects) $(tool_objects) $(bench_objects) $(core_objects) $(help_objects) \
	$(patsubst build/%,build/obj/%.o,$(test_programs) $(fuzz_programs) $(bench_programs)))

# ---- Installing -----------------------------------------------------------------------------

# Everybody may read what is installed, whatever the umask of who built or installs it.
install: install-lib install-tool $(if $(PYTHON),install-python)

install-lib: lib
	install -d $(DESTDIR)$(includedir)/coatcheck $(DESTDIR)$(libdir)/pkgconfig
	install -m 644 $(public_headers) $(DESTDIR)$(includedir)/coatcheck
	install -m 755 build/libcoatcheck.so.$(VERSION) $(DESTDIR)$(libdir)
	ln -sf libcoatcheck.so.$(VERSION) $(DESTDIR)$(libdir)/libcoatcheck.so.$(SOVERSION)
	ln -sf libcoatcheck.so.$(SOVERSION) $(DESTDIR)$(libdir)/libcoatcheck.so
	$(if $(INSTALL_STATIC),install -m 644 build/libcoatcheck.a $(DESTDIR)$(libdir))
	sed -e 's|@prefix@|$(prefix)|' -e 's|@libdir@|$(libdir)|' -e 's|@includedir@|$(includedir)|' \
		-e 's|@version@|$(VERSION)|' $(srcdir)/backend/coatcheck.pc.in \
		>$(DESTDIR)$(libdir)/pkgconfig/coatcheck.pc
	chmod 644 $(DESTDIR)$(libdir)/pkgconfig/coatcheck.pc

install-tool: tool bench-tool
	install -d $(DESTDIR)$(bindir) $(DESTDIR)$(mandir)/man1
	install -m 755 build/coatcheck build/bin/coatcheck-bench $(DESTDIR)$(bindir)
	install -m 644 $(manual_pages) $(DESTDIR)$(mandir)/man1
manual_pages = $(wildcard $(srcdir)/backend/man/*.1)

install-python: python
	install -d $(DESTDIR)$(pythondir)
	cp -R build/python/coatcheck $(DESTDIR)$(pythondir)
	find $(DESTDIR)$(pythondir)/coatcheck -name __pycache__ -prune -exec rm -rf {} +
	chmod -R u=rwX,go=rX $(DESTDIR)$(pythondir)/coatcheck

uninstall:
	rm -f $(DESTDIR)$(bindir)/coatcheck $(DESTDIR)$(bindir)/coatcheck-bench \
		$(addprefix $(DESTDIR)$(mandir)/man1/,$(notdir $(manual_pages)))
	rm -f $(addprefix $(DESTDIR)$(includedir)/coatcheck/,$(notdir $(public_headers))) \
		$(addprefix $(DESTDIR)$(libdir)/,libcoatcheck.so.$(VERSION) \
		libcoatcheck.so.$(SOVERSION) libcoatcheck.so libcoatcheck.a pkgconfig/coatcheck.pc)
	rmdir $(DESTDIR)$(includedir)/coatcheck 2>/dev/null || :
	$(if $(PYTHON),rm -rf $(DESTDIR)$(pythondir)/coatcheck)

# What was built goes, what was found out stays.
clean:
	rm -rf build/obj build/python build/tests build/bin build/coatcheck build/libcoatcheck.*

distclean:
	rm -rf build

# ---- Trying it ------------------------------------------------------------------------------

deps:
	$(srcdir)/tests/deps all

demo bench-session: needed = build
bench bench-cache bench-codec bench-redis bench-requests bench-stampede: needed = bench
check fuzz: needed = all
check-servers: needed = all servers
check-long check-web: needed = web
fuzz-afl: needed = afl
$(after_deps):
	@for what in $(needed); do PYTHON='$(PYTHON)' $(srcdir)/tests/deps $$what || exit; done
	@$(MAKE) -s run-$@

run-demo: all
	@[ -n '$(PYTHON)' ] || { echo 'make: the demo needs Python, and this was configured without' >&2; exit 1; }
	@PYTHONPATH=build/python $(PYTHON) $(srcdir)/tests/demo/demo.py $(if $(filter-out 0,$(SERVE)),--serve)

# What it is compared with is in an environment of its own; bench-session compares with nobody.
BENCH_RECORD = build/bench.json
run-bench run-bench-redis: bench-programs
run-bench run-bench-cache run-bench-codec run-bench-redis run-bench-requests run-bench-stampede: bench_python = build/venv-bench/bin/python
run-bench-session: bench_python = $(PYTHON)
run-bench: BENCH_OPTIONS += --record $(BENCH_RECORD)
run-bench run-bench-cache run-bench-codec run-bench-redis run-bench-requests run-bench-session run-bench-stampede: all
	@[ -n '$(PYTHON)' ] || { echo 'make: this needs Python, and was configured without' >&2; exit 1; }
	@PYTHONPATH=build/python $(bench_python) -m coatcheck.bench $(if $(filter run-bench,$@),all,$(@:run-bench-%=%)) $(BENCH_OPTIONS)

# From what was recorded, with no other program than what was built.
bench-report: python
	@PYTHONPATH=build/python $(PYTHON) -m coatcheck.bench report $(srcdir)/docs/benchmarks/page.md.in \
		$(srcdir)/docs/benchmarks/record.json > build/BENCHMARKS.md
	@cp build/BENCHMARKS.md $(srcdir)/BENCHMARKS.md

# A variable, since make would run a line that names $(MAKE) though it was told -n.
run_tests = MAKE='$(MAKE)' CC='$(CC)' PYTHON='$(PYTHON)' SERVER='$(SERVER)' $(srcdir)/tests/run

# The last word of the target is what tests/run knows it by.
T = 60
run-check run-check-long run-check-servers run-check-web run-fuzz run-fuzz-afl test: all
	@$(run_tests) $(lastword $(subst -, ,$@)) $(T)

# What the last run said, nothing runs.
requirements:
	@PYTHONDONTWRITEBYTECODE=1 $(or $(PYTHON),python3) $(srcdir)/tests/docs/requirements.py \
		build/test-logs

help:
	@echo 'make              the library, the command and the Python package, into build/'
	@echo 'make lib          the library only; make tool: the command'
	@echo 'make python       the Python package only'
	@echo 'make install      all of it, below DESTDIR; also install-lib, install-tool,'
	@echo '                  install-python, uninstall'
	@echo 'make demo         shows a session going from a web request into Redis and back'
	@echo '                  SERVE=1: and then serves a page to be tried with a browser'
	@echo 'make check        all tests, with nothing left out; installs what they need'
	@echo 'make test         those tests that can run here; installs nothing'
	@echo 'make check-long   make check, and what takes longer'
	@echo 'make check-web    the tests with Apache and mod_wsgi, and with a browser'
	@echo 'make check-servers  the tests of the path to Redis with each server that PyPI has'
	@echo 'make fuzz T=60    each fuzzer for so many seconds; make fuzz-afl: with AFL++'
	@echo 'make requirements the security requirements, their tests, and what these said last'
	@echo 'make bench        all of these, kept in build/bench.json; make bench-report: BENCHMARKS.md'
	@echo 'make bench-cache  caches beside other caches; likewise'
	@echo 'make bench-stampede  64 clients that want one value of a cache; likewise'
	@echo 'make bench-codec  dumps and loads beside others; BENCH_OPTIONS=--quick: sooner'
	@echo 'make bench-redis  the path to Redis beside other clients; likewise'
	@echo 'make bench-requests  what a session adds to a request, beside the sessions of others; likewise'
	@echo 'make bench-session  what sessions cost the server: time, memory, conflicts; likewise'
	@echo 'make deps         installs what is missing; with NO_INSTALL=1 only lists it'
	@echo 'make clean        removes what was built; make distclean: all of build/'
