# `make demo` and `make test` need Python 3.11+, git, make and a network; nothing else. Both can be run again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RATE ?= 0.08/h
MODEL := smollm2-135m-instruct
DEMO := --confirm 44 --search 24 --first-rung 24 --max-new-tokens 192

.PHONY: demo test test-slow lint types imports constraints clean embedders bench-engine bench-ledger bench-gateway \
  bench-gateway-memory bench-gateway-faults bench-coverage bench-ifeval bench-optimize bench-policy bench-policy-router \
  bench-policy-student bench-policy-cache bench-policy-drift bench-policy-certificate bench-cascade

$(STAMP): pyproject.toml constraints.txt
	@echo "== making $(VENV) and installing cput into it"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)
	@echo "== real IFEval prompts through SmolLM2: F16 one at a time, against the cheapest way found"
	$(BIN)/cput models pull $(MODEL) > /dev/null
	$(BIN)/cput optimize ifeval --quick $(DEMO) --rate $(RATE) --policy cput-reports/ifeval.policy.toml

test: $(STAMP)
	@echo "== the whole default suite"
	$(BIN)/python -m pytest

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow --timeout 3600

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

bench-engine: $(STAMP)
	$(BIN)/python benches/engine.py

bench-ledger: $(STAMP)
	$(BIN)/python benches/ledger.py

bench-gateway: $(STAMP)
	$(BIN)/python benches/gateway.py

bench-gateway-memory: $(STAMP)
	$(BIN)/python benches/gateway_memory.py

bench-gateway-faults: $(STAMP)
	$(BIN)/python benches/gateway_faults.py

embedders: $(STAMP)
	@echo "== fetching the embedding models, and the tokenizer that counts labels"
	$(BIN)/cput models pull all-minilm-l6-v2 > /dev/null
	$(BIN)/cput models pull wordllama-256 > /dev/null
	$(BIN)/cput models pull $(MODEL) > /dev/null

bench-policy: $(STAMP) embedders
	$(BIN)/python benches/policy.py

bench-policy-router: $(STAMP) embedders
	$(BIN)/python benches/policy_router.py

bench-policy-student: $(STAMP) embedders
	$(BIN)/python benches/policy_student.py

bench-policy-cache: $(STAMP) embedders
	$(BIN)/python benches/policy_cache.py

bench-policy-drift: $(STAMP)
	$(BIN)/python benches/policy_drift.py

bench-policy-certificate: $(STAMP)
	$(BIN)/python benches/policy_certificate.py

bench-cascade: $(STAMP)
	$(BIN)/python benches/cascade.py

bench-coverage: $(STAMP)
	$(BIN)/python benches/interval_coverage.py

bench-ifeval: $(STAMP)
	$(BIN)/python benches/ifeval.py

bench-optimize: $(STAMP)
	$(BIN)/cput models pull $(MODEL) > /dev/null
	$(BIN)/cput optimize ifeval --quick --confirm 96 --search 128 --rate $(RATE) --json \
	  --policy cput-reports/ifeval.policy.toml

constraints:
	$(PYTHON) -m venv build/fresh
	build/fresh/bin/python -m pip install --quiet --editable '.[dev]'
	(echo "# Versions a fresh install gets; renew with: make constraints"; \
	  build/fresh/bin/python -m pip freeze --exclude-editable) > constraints.txt

clean:
	rm -rf $(VENV) build
