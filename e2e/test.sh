#!/usr/bin/env bash
# make test: every stage in order, with its seconds. A failing stage ends the run.
set -euo pipefail
cd "$(dirname "$0")/.."

modules="api source-controller render-controller sync-controller notify-controller"
summary=""
# Whatever is started from here on has this in its environment, and is looked for at the end.
export SLUICE_RUN="$$-$RANDOM$RANDOM"
trap end EXIT

# end stops what a test that was killed or crashed has left running.
end() {
	local left
	left="$(grep -lzs "^SLUICE_RUN=$SLUICE_RUN\$" /proc/[0-9]*/environ | cut -d/ -f3 | tr '\n' ' ')" || true
	# shellcheck disable=SC2086 # a list of numbers; grep itself is one of them, and gone
	[ -z "$left" ] || kill -KILL $left 2>/dev/null || true
}

stage() {
	local name="$1" begin=$SECONDS
	shift
	echo "=== $name"
	if ! "$@"; then
		echo "=== $name failed after $((SECONDS - begin))s"
		room || true
		exit 1
	fi
	summary+="$(printf '%6ds  %s' $((SECONDS - begin)) "$name")"$'\n'
	echo "=== $name: $((SECONDS - begin))s"
}

# room says so when a disk is full: what fails then fails for reasons of its own.
room() {
	local folder free
	for folder in . "${TMPDIR:-/tmp}" "$(go env GOCACHE)" "$(go env GOMODCACHE)"; do
		free="$(df -Pk "$folder" 2>/dev/null | awk 'NR==2 {print $4}')"
		if [ -n "$free" ] && [ "$free" -lt 1048576 ]; then
			echo "the disk is full: $((free / 1024)) MiB are free in $folder" >&2
			return 1
		fi
	done
}

machine() {
	local missing=""
	command -v git >/dev/null || missing+=" git"
	command -v make >/dev/null || missing+=" make"
	command -v "$(go env CC)" >/dev/null || missing+=" a C compiler ($(go env CC), for the race detector)"
	if [ -n "$missing" ]; then
		echo "not installed:$missing" >&2
		return 1
	fi
	room
}

# Everything is fetched before anything is built, and a proxy that stumbles is asked again.
downloads() {
	# shellcheck disable=SC2046 # a pattern for each module
	again . go list -deps -test $(printf './%s/... ' $modules e2e) || return 1
	again e2e/controlplane env GOWORK=off go list -deps tool ./... || return 1
	again e2e/tools/lint env GOWORK=off go list -deps tool || return 1
	again e2e/tools/generate env GOWORK=off go list -deps tool ./... || return 1
}

again() {
	local folder="$1" try
	shift
	for try in 1 2 3 4; do
		(cd "$folder" && "$@" >/dev/null) && return
		[ "$try" = 4 ] && break
		echo "modules of $folder: once more in $((try * 5))s" >&2
		sleep $((try * 5))
	done
	echo "the modules of $folder cannot be fetched from GOPROXY=$(go env GOPROXY)" >&2
	return 1
}

control_plane() {
	go run ./e2e assets || return 1
	KUBEBUILDER_ASSETS="$(go run ./e2e assets 2>/dev/null)" || return 1
	export KUBEBUILDER_ASSETS
	# an API server that starts beside others and compilers needs more than envtest's 20 s
	export KUBEBUILDER_CONTROLPLANE_START_TIMEOUT=3m
}

generated() {
	make generate || return 1
	if ! git diff --exit-code --stat -- charts/sluice/crds api; then
		echo "generated files are stale: run make generate and commit what it changes" >&2
		return 1
	fi
}

modules_alone() {
	for module in $modules; do
		echo "-- $module builds without the workspace"
		(cd "$module" && GOWORK=off go build ./... ) || return 1
	done
}

go_tests() {
	for module in $modules; do
		echo "-- $module"
		# -count=1: no results are kept. What go test writes down to keep them fails where a test fills the disk.
		# -vet=off: lint has done that already.
		(cd "$module" && CGO_ENABLED=1 go test -race -count=1 -vet=off -timeout 15m ./...) || return 1
	done
}

# The world prints its progress as it starts, so these are verbose; the demo is one of the stories. Stories mostly wait, so
# more of them run at a time than there are cores.
stories() {
	(cd e2e && go test -timeout 30m -parallel 4 -v ./... | grep -v -E '^(=== (RUN|PAUSE|CONT|NAME))')
}

stage "machine" machine
stage "downloads" downloads
stage "control plane" control_plane
stage "generated files" generated
stage "build" make build
stage "modules alone" modules_alone
stage "lint" make lint
stage "unit and API server" go_tests
stage "cluster, architecture, chart, stories, demo" stories

echo
echo "$summary"
echo "=== all stages passed in ${SECONDS}s"
