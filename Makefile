# The commands of Holdfast. Each one installs what it needs, into .tools/ where that is possible, and says
# so first; the work itself is in tools/.

.DEFAULT_GOAL := help
.PHONY: help run test bench fuzz
.NOTPARALLEL:

help:
	@echo 'make run     start everything on this machine: S3, IAM, STS, PostgreSQL and the functions'
	@echo 'make test    every check: format, lints, documents, licences, template, conformance, pages in a browser, tests'
	@echo 'make bench   measure rows per second, start-up, memory, sizes and the embedded S3'
	@echo 'make fuzz    look for payloads, settings, documents and texts that break the functions, with a nightly compiler'

# `exec`: the shell becomes the program, so a signal sent to make reaches it and none is left behind.
run:
	@exec sh tools/run.sh

test:
	@exec sh tools/test.sh

bench:
	@exec sh tools/bench.sh

fuzz:
	@exec sh tools/fuzz.sh
