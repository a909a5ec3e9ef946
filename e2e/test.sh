#!/usr/bin/env bash
# make test: every stage in order, with its seconds. A failing stage ends the run.
set -euo pipefail
cd "$(dirname "$0")/.."

modules="api source-controller render-controller sync-controller notify-controller"
summary=""

stage() {
	local name="$1" begin=$SECONDS
	shift
	echo "=== $name"
	if ! "$@"; then
		echo "=== $name failed after $((SECONDS - begin))s"
		exit 1
	fi
	summary+="$(printf '%6ds  %s' $((SECONDS - begin)) "$name")"$'\n'
	echo "=== $name: $((SECONDS - begin))s"
}

control_plane() {
	go run ./e2e assets || return 1
	KUBEBUILDER_ASSETS="$(go run ./e2e assets 2>/dev/null)" || return 1
	export KUBEBUILDER_ASSETS
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
		(cd "$module" && CGO_ENABLED=1 go test -race -count=1 -timeout 15m ./...) || return 1
	done
}

# The world prints its progress as it starts, so these are verbose; the demo is one of the stories. Stories mostly wait, so
# more of them run at a time than there are cores.
stories() {
	(cd e2e && go test -timeout 30m -parallel 4 -v ./... | grep -v -E '^(=== (RUN|PAUSE|CONT|NAME))')
}

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
