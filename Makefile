# Thin over the commands: `make help` lists them. Needs Python >= 3.11 with venv, and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEV    := $(VENV)/.installed-dev

.PHONY: help up test test-web screens proofs fuzz check format simulate demo bench chaos runbooks sabotage loadtest lock clean docs lua words

help:            ## list what there is
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:[^#]*##/\t/' | expand -t 12

up: $(DEV)       ## install, start everything, serve http://127.0.0.1:8080 until Ctrl-C
	@exec $(BIN)/evently up

test: $(DEV)     ## all tests, against a real Valkey and a real PostgreSQL
	@# Three workers, since tests wait; in their order, else long files of few tests end it alone.
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

test-web: $(DEV) ## the pages' tests, in a browser that must be there
	BROWSER_REQUIRED=1 $(BIN)/pytest tests/web

screens: $(DEV)  ## pictures of twelve key states of the pages, to look at (INTO=folder PRODUCT=1: docs/product/ as well)
	@$(BIN)/python -m tests.web.screens $(if $(INTO),--into $(INTO)) $(if $(PRODUCT),--product)

proofs: $(DEV)   ## the long proofs that `make test` leaves out
	$(BIN)/pytest -n 2 --dist loadfile -m slow

fuzz: $(DEV)     ## every route against its description, as anybody, user, organizer and admin (SEED=n FEW=1)
	@seed=$${SEED:-$$(date +%s)}; echo "make fuzz SEED=$$seed"; \
	    $(BIN)/python -m tests.api.fuzz --seed $$seed $(if $(FEW),--few)

check: $(DEV)    ## format, lint, types, dead code, translations
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/vulture
	$(BIN)/python -m web.wording --check

words: $(DEV)    ## write the texts of pages that are new into the catalogues of translations
	$(BIN)/python -m web.wording

format: $(DEV)   ## put the code into the house's form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

demo: $(DEV)     ## sell out an event over HTTP and judge it (SCENARIO= BUYERS= CAPACITY= SEED= FAULT=redis_tail|redis_deleted MAIL=1)
	@$(BIN)/python -m loadtests.demo $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(BUYERS),--buyers $(BUYERS)) \
	    $(if $(CAPACITY),--capacity $(CAPACITY)) $(if $(SEED),--seed $(SEED)) $(if $(FAULT),--fault $(FAULT)) $(if $(MAIL),--mail)

simulate: $(DEV) ## random histories of the processes over modelled servers, and of all scripts (SEED=n SEEDS=m)
	@seed=$${SEED:-$$(date +%s)}; echo "make simulate SEED=$$seed"; \
	    $(BIN)/python -m tests.determinism --seed $$seed --seeds $${SEEDS:-5000} && \
	    $(BIN)/pytest tests/simulation --large --hypothesis-show-statistics --hypothesis-seed=$$seed

chaos: $(DEV)    ## faults against a whole Evently, judged by history (SEED=n MINUTES=m)
	@$(BIN)/python -m loadtests.chaos $(if $(SEED),--seed $(SEED)) \
	    $(if $(MINUTES),--minutes $(MINUTES))

runbooks: $(DEV) ## each runbook of docs/OPERATIONS.md against its real fault (ONLY=drift,lag)
	@$(BIN)/python -m loadtests.runbooks $(if $(ONLY),--only $(ONLY))

sabotage: $(DEV) ## take each safeguard out of a copy and see a rig miss it
	@$(BIN)/python -m loadtests.chaos.sabotage

bench: $(DEV)    ## measure P1..P13 (P16 alone: ONLY=P16), report in loadtests/results (ONLY=P1,P4 COMPARE=file AGAINST=folder QUICK=1 WHAT=growth or search or import)
	@$(BIN)/python -m loadtests.bench $(WHAT) $(if $(ONLY),--only $(ONLY)) $(if $(COMPARE),--compare $(COMPARE)) \
	    $(if $(AGAINST),--against $(AGAINST)) $(if $(QUICK),--quick)

loadtest: $(DEV) ## a Locust scenario with its verdict (SCENARIO=rush USERS=n RATE=n RUNTIME=s SEED=n HOST=url UI=1)
	@$(BIN)/python -m loadtests.locust $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(USERS),--users $(USERS)) \
	    $(if $(RATE),--rate $(RATE)) $(if $(RUNTIME),--run-time $(RUNTIME)) $(if $(SEED),--seed $(SEED)) \
	    $(if $(CAPACITY),--capacity $(CAPACITY)) $(if $(PROCESSES),--processes $(PROCESSES)) \
	    $(if $(HOST),--host $(HOST)) $(if $(ANYWHERE),--anywhere) $(if $(UI),--ui)

lua: $(DEV)      ## print a script as Redis gets it, and where each part comes from (SCRIPT=book)
	@$(BIN)/python -m engine.linker $(SCRIPT)

docs: $(DEV)     ## write the documents that are made from the code
	$(BIN)/python -m engine.script_docs > docs/SCRIPTS.md
	$(BIN)/python -m tests.web.page_states > docs/PAGES_STATES.md

lock: $(DEV)     ## resolve the dependencies anew: pins and hashes, no index hosts
	$(BIN)/python -m pip install --quiet uv
	set -e; for set in "runtime:" "dev:--extra embedded --extra otel --group dev"; do \
	    $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
	        --no-emit-find-links --python-version 3.11 --custom-compile-command "make lock" \
	        $${set#*:} pyproject.toml -o requirements/$${set%%:*}.txt; done

clean:           ## remove what was built; data in .evently stays
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(DEV): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
