# The commands of this repository. Everything they make lies in .venv and in caches, and `make clean` removes it.

PYTHON := .venv/bin/python

.PHONY: help demo test lint test-openssh test-chaos test-rolling test-transfers test-image test-kubernetes soak fuzz \
  image requirements.txt metrics-table bench-http bench-ssh bench-kubernetes bench-users clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo   a gateway with a stand-in GitLab and workspaces, on this machine; needs python3 and PyPI'
	@echo 'make test   every check and test; installs what they need from PyPI and Debian'
	@echo 'make lint   ruff and mypy alone'
	@echo 'make test-openssh  the tests of OpenSSH itself and ssh-audit, through the gateway; about ten minutes, root, Debian'
	@echo 'make test-chaos  what the gateway depends on is taken away, and the gateway is flooded; four minutes, root, Debian'
	@echo 'make test-rolling  two gateways behind a load balancer are replaced under load; a minute, root, Debian'
	@echo 'make test-transfers  large copies over SSH with the programs people use; about half an hour, root, Debian'
	@echo 'make test-image  the steps of the Dockerfile in a scratch root, and what runs in it; two minutes, root, Debian'
	@echo 'make test-kubernetes  discovery against a real API server; needs Go (ten minutes the first time) or KUBEBUILDER_ASSETS'
	@echo 'make soak   a mixed load on a real gateway, checked byte by byte; MINUTES=n in all, 2 unless said'
	@echo 'make fuzz   searches for inputs that break a parser; SECONDS=n in all, 300 unless said, TARGETS="a b" names some'
	@echo 'make image  the container image, by docker, podman or buildah; IMAGE=name:tag names it'
	@echo 'make requirements.txt  renews the wheels that the image pins by hash'
	@echo 'make metrics-table  renews the table of metrics in the README'
	@echo 'make bench-http  the HTTP door beside nginx and Caddy, about ten minutes; ROUNDS=n LINES=a,b shorten it'
	@echo 'make bench-ssh  the SSH door beside a plain relay, about eight minutes; ROUNDS=n LINES=a,b shorten it'
	@echo 'make bench-kubernetes  following 100,000 Services, about two minutes; SERVICES=n shortens it'
	@echo 'make bench-users  what a person costs the gateway, GitLab and Redis, about three minutes; USERS=n shortens it'
	@echo 'make clean  removes everything that make has made'

# With a terminal, the demo gets Ctrl-C to itself (bash -m), so that it ends in good order and make does not complain.
demo: .venv/.installed-demo
	@if [ -t 0 ]; then bash -mc '$(PYTHON) -m gateway demo; exit $$?'; else exec $(PYTHON) -m gateway demo; fi

test: .venv/.installed-dev
	@.ci/debian-packages
	@$(MAKE) --no-print-directory lint
	@$(PYTHON) -m pytest --numprocesses=3 --dist=worksteal --ignore=tests/bench --ignore=tests/openssh \
	  --ignore=tests/transfers --ignore=tests/image --ignore=tests/soak \
	  --ignore=tests/chaos --ignore=tests/rolling

lint: .venv/.installed-dev
	@$(PYTHON) -m ruff check
	@$(PYTHON) -m ruff format --check
	@$(PYTHON) -m mypy

# One script at a time to each of four workers, the longest first: most of them mostly sleep.
test-openssh: .venv/.installed-dev .venv/.installed-openssh
	@.ci/debian-packages openssh
	@$(PYTHON) -m pytest tests/openssh --numprocesses=4 --maxschedchunk=1

test-chaos: .venv/.installed-dev
	@.ci/debian-packages chaos
	@$(PYTHON) -m pytest tests/chaos --numprocesses=2 --dist=worksteal --timeout=180

# Both at once: each mostly waits for gateways that drain.
test-rolling: .venv/.installed-dev
	@.ci/debian-packages rolling
	@$(PYTHON) -m pytest tests/rolling --numprocesses=2

test-transfers: .venv/.installed-dev
	@.ci/debian-packages transfers
	@$(PYTHON) -m pytest tests/transfers --verbose

# The steps of a scratch root take longer than any other test, and more so where others work.
test-image: .venv/.installed-dev
	@.ci/debian-packages image
	@$(PYTHON) -m pytest tests/image --timeout=900

# The very tests that `make test` runs on a stand-in, and those that only a real API server can answer.
test-kubernetes: .venv/.installed-dev
	@[ -n "$$KUBEBUILDER_ASSETS" ] || .ci/debian-packages kubernetes
	@assets=$$(.ci/kubernetes-programs) && \
	  KUBEBUILDER_ASSETS=$$assets $(PYTHON) -m pytest tests/kubernetes --cluster=real --timeout=180

# Its lines come as it goes, since nobody waits for an hour without a word.
soak: MINUTES := 2
soak: .venv/.installed-dev
	@.ci/debian-packages
	@MINUTES=$(MINUTES) $(PYTHON) -m pytest tests/soak --capture=no

# Guided by what an input reaches; what `make test` does with the same targets takes seconds.
fuzz: SECONDS := 300
fuzz: .venv/.installed-fuzz
	@$(PYTHON) -m tests.fuzz $(SECONDS) $(TARGETS)

image:
	@.ci/image

# For the Python of the Dockerfile's Debian, whatever Python is here.
requirements.txt: .venv/.installed-lock
	@.venv/bin/uv pip compile pyproject.toml --quiet --upgrade --extra opentelemetry --extra redis --generate-hashes \
	  --python-version 3.13 --python-platform linux --only-binary :all: --no-annotate --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command 'make requirements.txt' --output-file $@

metrics-table: .venv/.installed-dev
	@$(PYTHON) -m tests.metrics_table

bench-http: .venv/.installed-bench
	@tests/bench/programs
	@$(PYTHON) -m tests.bench.http_bench

bench-ssh: .venv/.installed-dev
	@.ci/debian-packages
	@$(PYTHON) -m tests.bench.ssh_bench

bench-kubernetes: .venv/.installed-dev
	@$(PYTHON) -m tests.bench.kubernetes_bench

bench-users: .venv/.installed-dev
	@.ci/debian-packages
	@$(PYTHON) -m tests.bench.calls_bench
	@$(PYTHON) -m tests.bench.users_bench

# One for each set of optional dependencies in pyproject.toml; several may be installed, in any order.
.venv/.installed-%: pyproject.toml
	@.ci/venv
	@echo "Installing the gateway and what '$*' needs into .venv"
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

.venv/.installed-openssh: tests/openssh/requirements.txt
	@.ci/venv
	@echo "Installing what the tests of OpenSSH need into .venv"
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis tests/output *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
