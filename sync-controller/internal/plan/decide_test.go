package plan

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

const (
	oldRevision = "main@sha1:1111"
	newRevision = "main@sha1:2222"
	oldTag      = "hmac-sha256:aa"
	newTag      = "hmac-sha256:bb"
)

// settled is a subject whose latest content is applied, seen between two intervals.
func settled() State {
	goal := Goal{UID: "u", Generation: 2, Revision: oldRevision, Tag: oldTag}
	return State{
		Subject: Subject{
			Kind: "Kustomization", Namespace: "apps", Name: "web", UID: "u", Generation: 2, Finalizer: true, Prune: true,
			Corrects: true, Interval: 10 * time.Minute, RetryInterval: time.Minute, Timeout: 5 * time.Minute,
		},
		Status: Status{Ready: "True", Reason: ReasonSucceeded, ReadyGeneration: 2, Revision: oldRevision},
		Render: rendered(oldRevision, oldTag),
		Attempt: Attempt{
			Goal: goal, Stage: Ended, Cause: Changed, Outcome: ReasonSucceeded, Reported: ReasonSucceeded,
			Verified: true, Age: 2 * time.Minute, SinceApplied: time.Minute, SinceEnded: time.Minute,
		},
		HasLastApplied: true,
	}
}

func rendered(revision, tag string) *v1alpha1.Render {
	return &v1alpha1.Render{
		Subject:   v1alpha1.Subject{Kind: "Kustomization", Name: "web", UID: "u", Generation: 2},
		Source:    v1alpha1.Source{Kind: "GitRepository", Namespace: "apps", Name: "repo", Revision: revision},
		Rendering: &v1alpha1.Rendering{Tag: tag},
		Status:    v1alpha1.RenderStatus{Conditions: []metav1.Condition{{Type: "Ready", Status: "True", Reason: "Succeeded"}}},
	}
}

func notRendered(reason, message string) *v1alpha1.Render {
	r := rendered(newRevision, oldTag)
	r.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "False", Reason: reason, Message: message}}
	return r
}

// running puts a settled subject's attempt at a stage, towards new content.
func running(stage Stage) func(*State) {
	return func(s *State) {
		s.Render = rendered(newRevision, newTag)
		s.Attempt = Attempt{Goal: GoalOf(*s), Stage: stage, Cause: Changed, Verified: true, Age: time.Second, SinceApplied: time.Second}
	}
}

func both(changes ...func(*State)) func(*State) {
	return func(s *State) {
		for _, change := range changes {
			change(s)
		}
	}
}

func failed(outcome string, since time.Duration) func(*State) {
	return func(s *State) {
		s.Attempt.Outcome, s.Attempt.Reported, s.Attempt.Message, s.Attempt.SinceEnded = outcome, outcome, "why", since
		s.Status.Ready, s.Status.Reason = "False", outcome
	}
}

// restarted: no object was compared since the process started.
func restarted(s *State) { s.Attempt.Verified, s.Missed = false, true }

func TestDecide(t *testing.T) {
	unready := Dependency{Name: "Kustomization/apps/db", Found: true, Generation: 1, Observed: 1}
	for name, tc := range map[string]struct {
		reason string
		change func(*State)
		want   Action
	}{
		"settled": {
			reason: "between two intervals there is nothing to do",
			change: func(*State) {},
			want:   Action{Step: Idle, After: 9 * time.Minute},
		},
		"new": {
			reason: "the finalizer is there before anything is applied",
			change: func(s *State) { s.Subject.Finalizer = false },
			want:   Action{Step: AddFinalizer},
		},
		"interval": {
			reason: "at each interval what is known is compared",
			change: func(s *State) { s.Attempt.SinceEnded = 10 * time.Minute },
			want:   Action{Step: Begin, Cause: Verify},
		},
		"restart": {
			reason: "a new process compares once, however fresh the last attempt",
			change: func(s *State) { s.Attempt.Verified = false },
			want:   Action{Step: Begin, Cause: Verify},
		},
		"restart of what is not corrected": {
			reason: "there is nothing to compare before the next interval",
			change: func(s *State) { s.Attempt.Verified, s.Subject.Corrects = false, false },
			want:   Action{Step: Idle, After: 9 * time.Minute},
		},
		"restart with content to apply": {
			reason: "what is applied anew is compared anyway",
			change: both(restarted, func(s *State) { s.Render = rendered(newRevision, newTag) }),
			want:   Action{Step: Begin, Cause: Changed},
		},
		"restart with nothing new": {
			reason: "the attempt that verifies compares everything",
			change: restarted,
			want:   Action{Step: Begin, Cause: Verify},
		},
		"restart during an attempt": {
			reason: "the attempt goes on and compares everything",
			change: both(running(Started), restarted),
			want:   Action{Step: Apply},
		},
		"restart while the build fails": {
			reason: "held content heals what changed unseen",
			change: both(restarted, func(s *State) { s.Render = notRendered(ReasonBuildFailed, "bad") }),
			want:   Action{Step: CatchUp},
		},
		"restart during an attempt while the build fails": {
			reason: "an attempt that cannot go on compares nothing",
			change: both(running(Started), restarted, func(s *State) { s.Render = notRendered(ReasonBuildFailed, "bad") }),
			want:   Action{Step: CatchUp},
		},
		"restart while render is down": {
			reason: "held content heals what changed unseen",
			change: both(restarted, func(s *State) { s.Render = nil }),
			want:   Action{Step: CatchUp},
		},
		"restart after a refusal": {
			reason: "until something newer is accepted, what was accepted last heals",
			change: both(restarted, failed(ReasonApplyFailed, time.Second)),
			want:   Action{Step: CatchUp},
		},
		"restart after a refusal, time to retry": {
			reason: "an apply that succeeds compares everything",
			change: both(restarted, failed(ReasonApplyFailed, time.Minute)),
			want:   Action{Step: Begin, Cause: Changed},
		},
		"restart after a refusal, caught up": {
			reason: "what changed unseen is found once",
			change: both(restarted, failed(ReasonApplyFailed, time.Second), func(s *State) { s.Missed = false }),
			want:   Action{Step: Idle, After: 59 * time.Second},
		},
		"restart while the build fails, before watches are there": {
			reason: "an object that was not listed yet is not gone",
			change: both(restarted, func(s *State) { s.Render, s.Unsynced = notRendered(ReasonBuildFailed, "bad"), true }),
			want:   Action{Step: Wait, After: SyncPoll},
		},
		"restart while the build fails, without watches": {
			reason: "a kind that cannot be watched keeps no other from being healed",
			change: both(restarted, func(s *State) {
				s.Render, s.Unsynced, s.MissedFor = notRendered(ReasonBuildFailed, "bad"), true, SyncPatience
			}),
			want: Action{Step: CatchUp},
		},
		"restart before anything was applied": {
			reason: "without content there is nothing to heal from",
			change: both(restarted, func(s *State) { s.Render, s.HasLastApplied = notRendered(ReasonBuildFailed, "bad"), false }),
			want:   Action{Step: Fail, Outside: true, Reason: ReasonBuildFailed},
		},
		"restart of what is not corrected while the build fails": {
			reason: "foreign changes are left alone",
			change: both(restarted, func(s *State) { s.Render, s.Subject.Corrects = notRendered(ReasonBuildFailed, "bad"), false }),
			want:   Action{Step: Fail, Outside: true, Reason: ReasonBuildFailed},
		},
		"restart of what is suspended": {
			reason: "nothing is done, healing included",
			change: both(restarted, func(s *State) { s.Subject.Suspended = true }),
			want:   Action{Step: Idle},
		},
		"revision moved, content did not": {
			reason: "nothing but the status is needed",
			change: func(s *State) { s.Render = rendered(newRevision, oldTag) },
			want:   Action{Step: Begin, Cause: Moved},
		},
		"revision moved after a failure": {
			reason: "what failed is tried again with a new revision, even of the same content",
			change: both(failed(ReasonApplyFailed, time.Second), func(s *State) { s.Render = rendered(newRevision, oldTag) }),
			want:   Action{Step: Begin, Cause: Changed},
		},
		"content changed": {
			reason: "new content is applied",
			change: func(s *State) { s.Render = rendered(newRevision, newTag) },
			want:   Action{Step: Begin, Cause: Changed},
		},
		"content changed during a health wait": {
			reason: "a new revision supersedes a waiting one",
			change: func(s *State) { s.Render = rendered(newRevision, newTag); s.Attempt.Stage = Pruned },
			want:   Action{Step: Begin, Cause: Changed},
		},
		"token": {
			reason: "who asks gets every object compared with the cluster",
			change: func(s *State) { s.Subject.Token = "now"; s.Render.Subject.RequestedAt = "now" },
			want:   Action{Step: Begin, Cause: Requested},
		},
		"token taken over by a superseding attempt": {
			reason: "a token that was not answered makes the next attempt thorough too",
			change: func(s *State) {
				s.Subject.Token = "now"
				s.Render = rendered(newRevision, newTag)
				s.Render.Subject.RequestedAt = "now"
				s.Attempt = Attempt{Goal: Goal{UID: "u", Generation: 2, Token: "now", Revision: oldRevision, Tag: oldTag}, Stage: Pruned, Cause: Requested}
			},
			want: Action{Step: Begin, Cause: Requested},
		},
		"token that render has not seen": {
			reason: "the handshake takes the token in: its Render knows the source at that time",
			change: func(s *State) { s.Subject.Token = "now" },
			want:   Action{Step: Wait, Reason: ReasonProgressing, After: Patience},
		},
		"generation that render has not seen": {
			reason: "content of an old spec is not applied",
			change: func(s *State) { s.Subject.Generation = 3; s.Waiting = time.Second },
			want:   Action{Step: Wait, Reason: ReasonProgressing, After: time.Second},
		},
		"generation that render has not seen for long": {
			reason: "a wait that lasts is reported",
			change: func(s *State) { s.Subject.Generation = 3; s.Waiting = 3 * time.Second },
			want:   Action{Step: Wait, Reason: ReasonProgressing, Progress: true},
		},
		"recreated under the same name": {
			reason: "a record of another UID says nothing",
			change: func(s *State) { s.Subject.UID = "v" },
			want:   Action{Step: Wait, Reason: ReasonProgressing, After: Patience},
		},
		"no record": {
			reason: "a new subject waits for render-controller",
			change: func(s *State) { s.Render = nil },
			want:   Action{Step: Wait, Reason: ReasonProgressing, After: Patience},
		},
		"record without outcome": {
			reason: "a record without a Ready condition is not an outcome",
			change: func(s *State) { s.Render.Status.Conditions = nil },
			want:   Action{Step: Wait, Reason: ReasonProgressing, After: Patience},
		},
		"build failed": {
			reason: "render's failure is mirrored and no attempt of ours",
			change: func(s *State) { s.Render = notRendered(ReasonBuildFailed, "bad YAML") },
			want:   Action{Step: Fail, Outside: true, Reason: ReasonBuildFailed, Message: "bad YAML"},
		},
		"the source has nothing yet": {
			reason: "what goes away by itself is a state and no failure: nobody is paged",
			change: func(s *State) {
				s.Render = notRendered(ReasonArtifactFailed, "no artifact yet")
				s.Render.Status.Conditions[0].Status = "Unknown"
			},
			want: Action{Step: Fail, Outside: true, Waiting: true, Reason: ReasonArtifactFailed, Message: "no artifact yet"},
		},
		"access denied": {
			reason: "only a change of the spec can help",
			change: func(s *State) { s.Render = notRendered(ReasonAccessDenied, "no") },
			want:   Action{Step: Fail, Outside: true, Stalled: true, Reason: ReasonAccessDenied, Message: "no"},
		},
		"drift while render is down": {
			reason: "held content heals whatever happens upstream",
			change: func(s *State) { s.Render = nil; s.Drifted = true },
			want:   Action{Step: Heal},
		},
		"drift while the build fails": {
			reason: "held content heals whatever happens upstream",
			change: func(s *State) { s.Render = notRendered(ReasonBuildFailed, "bad"); s.Drifted = true },
			want:   Action{Step: Heal},
		},
		"drift of what is not corrected": {
			reason: "a HelmRelease without drift detection leaves foreign changes alone",
			change: func(s *State) { s.Drifted, s.Subject.Corrects = true, false },
			want:   Action{Step: Idle, After: 9 * time.Minute},
		},
		"drift without content": {
			reason: "there is nothing to heal from before the first apply",
			change: func(s *State) { s.Drifted, s.HasLastApplied = true, false },
			want:   Action{Step: Idle, After: 9 * time.Minute},
		},
		"suspended": {
			reason: "nothing is done, drift included",
			change: func(s *State) { s.Subject.Suspended, s.Drifted = true, true },
			want:   Action{Step: Idle},
		},
		"suspended with a token": {
			reason: "a token is answered all the same",
			change: func(s *State) { s.Subject.Suspended = true; s.Subject.Token = "now" },
			want:   Action{Step: Answer},
		},
		"suspended, token taken back": {
			reason: "there is nobody to answer",
			change: func(s *State) { s.Subject.Suspended = true; s.Status.Token = "before" },
			want:   Action{Step: Idle},
		},
		"token taken back": {
			reason: "an answer that was given stands",
			change: func(s *State) { s.Status.Token = "before" },
			want:   Action{Step: Idle, After: 9 * time.Minute},
		},
		"unsupported field": {
			reason: "what is not served is refused by name",
			change: func(s *State) { s.Subject.Unsupported = []string{"spec.kubeConfig"} },
			want:   Action{Step: Fail, Outside: true, Stalled: true, Reason: ReasonInvalidSpec},
		},
		"invalid expression": {
			reason: "an expression that cannot be compiled never works",
			change: func(s *State) { s.Subject.Invalid = "spec.healthCheckExprs[0]: no" },
			want:   Action{Step: Fail, Outside: true, Stalled: true, Reason: ReasonInvalidExpression},
		},
		"flux runs": {
			reason: "two controllers would fight",
			change: func(s *State) { s.FluxRunning = []string{"Deployment/flux-system/kustomize-controller"} },
			want:   Action{Step: Fail, Outside: true, Stalled: true, Reason: ReasonFluxRunning, After: time.Minute},
		},
		"dependency not ready yet": {
			reason: "the first moments of waiting cost no write",
			change: both(running(Started), func(s *State) { s.Dependencies = []Dependency{unready} }),
			want:   Action{Step: Wait, Reason: ReasonDependency, BlockedBy: []string{"Kustomization/apps/db"}, After: time.Second},
		},
		"dependency not ready": {
			reason: "then it is told, and the attempt ends",
			change: both(running(Started), func(s *State) { s.Dependencies = []Dependency{unready}; s.Attempt.Age = 2 * time.Second }),
			want:   Action{Step: Fail, Reason: ReasonDependency, BlockedBy: []string{"Kustomization/apps/db"}},
		},
		"dependency cycle": {
			reason: "nobody in it can become ready, so the way round is told",
			change: both(running(Started), func(s *State) {
				s.Dependencies, s.Attempt.Age, s.Cycle = []Dependency{unready}, Patience, []string{"a", "b", "a"}
			}),
			want: Action{
				Step: Fail, Reason: ReasonDependency, BlockedBy: []string{unready.Name},
				Message: "dependency cycle: a → b → a; none of them can become ready: take one of these out of spec.dependsOn",
			},
		},
		"dependency became ready": {
			reason: "the watch on the dependency brings the subject back at once",
			change: failed(ReasonDependency, time.Second),
			want:   Action{Step: Begin, Cause: Changed},
		},
		"apply": {
			reason: "changed content is applied",
			change: running(Started),
			want:   Action{Step: Apply},
		},
		"apply on request": {
			reason: "a request looks at every object",
			change: both(running(Started), func(s *State) { s.Attempt.Cause = Requested }),
			want:   Action{Step: Apply, Deep: true},
		},
		"moved": {
			reason: "an attempt for a moved revision applies nothing",
			change: both(running(Started), func(s *State) { s.Attempt.Cause = Moved }),
			want:   Action{Step: Succeed},
		},
		"verification before watches are there": {
			reason: "listing is cheaper than asking for each object",
			change: both(running(Started), func(s *State) { s.Attempt.Cause = Verify; s.Unsynced = true }),
			want:   Action{Step: Wait, After: SyncPoll},
		},
		"verification without watches": {
			reason: "a kind that cannot be watched does not block for ever",
			change: both(running(Started), func(s *State) { s.Attempt.Cause, s.Unsynced, s.Attempt.Age = Verify, true, SyncPatience }),
			want:   Action{Step: Apply},
		},
		"nothing to prune": {
			reason: "no stale ids, no gate",
			change: both(running(Applied), func(s *State) { s.Lagging = []string{"Kustomization/apps/x"} }),
			want:   Action{Step: SkipPrune},
		},
		"prune gate closed": {
			reason: "another subject of the source may be about to take an id over",
			change: both(running(Applied), func(s *State) { s.Stale, s.Lagging = true, []string{"Kustomization/apps/x"} }),
			want:   Action{Step: Wait, Reason: ReasonProgressing, BlockedBy: []string{"Kustomization/apps/x"}, After: time.Second},
		},
		"prune gate closed for long": {
			reason: "the wait is reported, and ends with the gate's time",
			change: both(running(Applied), func(s *State) {
				s.Stale, s.Lagging, s.Attempt.Age, s.Attempt.SinceApplied = true, []string{"Kustomization/apps/x"}, 12*time.Second, 10*time.Second
			}),
			want: Action{Step: Wait, Reason: ReasonProgressing, Progress: true, BlockedBy: []string{"Kustomization/apps/x"}, After: 20 * time.Second},
		},
		"prune gate timed out": {
			reason: "a subject that is never rendered does not keep garbage for ever",
			change: both(running(Applied), func(s *State) {
				s.Stale, s.Lagging, s.Attempt.SinceApplied = true, []string{"Kustomization/apps/x"}, PruneGate
			}),
			want: Action{Step: Prune},
		},
		"prune": {
			reason: "all siblings are at the revision",
			change: both(running(Applied), func(s *State) { s.Stale = true }),
			want:   Action{Step: Prune},
		},
		"no health checks": {
			reason: "what is applied is done",
			change: running(Pruned),
			want:   Action{Step: Succeed},
		},
		"health unknown yet": {
			reason: "health is looked at",
			change: both(running(Pruned), func(s *State) { s.Subject.Checks = true }),
			want:   Action{Step: CheckHealth},
		},
		"healthy": {
			reason: "healthy objects end the attempt",
			change: both(running(Pruned), func(s *State) { s.Subject.Checks = true; s.Health = &Health{State: v1alpha1.HealthHealthy} }),
			want:   Action{Step: Succeed},
		},
		"nothing to check": {
			reason: "wait without objects that have a health is a success",
			change: both(running(Pruned), func(s *State) { s.Subject.Checks = true; s.Health = &Health{State: v1alpha1.HealthUnknown} }),
			want:   Action{Step: Succeed},
		},
		"progressing": {
			reason: "no worker waits; the watches or a timer bring it back",
			change: both(running(Pruned), func(s *State) {
				s.Subject.Checks, s.Attempt.Age = true, 3*time.Second
				s.Health = &Health{State: v1alpha1.HealthProgressing}
			}),
			want: Action{Step: Wait, Reason: ReasonProgressing, Progress: true, After: HealthPoll},
		},
		"progressing near the deadline": {
			reason: "the deadline is met",
			change: both(running(Pruned), func(s *State) {
				s.Subject.Checks, s.Attempt.Age, s.Attempt.SinceApplied = true, 5*time.Minute, 5*time.Minute-time.Second
				s.Health = &Health{State: v1alpha1.HealthProgressing}
			}),
			want: Action{Step: Wait, Reason: ReasonProgressing, Progress: true, After: time.Second},
		},
		"health timed out": {
			reason: "the timeout counts from the apply, across restarts",
			change: both(running(Pruned), func(s *State) {
				s.Subject.Checks, s.Attempt.SinceApplied = true, 5*time.Minute
				s.Health = &Health{State: v1alpha1.HealthProgressing, Message: "Deployment/apps/web"}
			}),
			want: Action{Step: Fail, Reason: ReasonHealthCheckFailed},
		},
		"health failed": {
			reason: "a failed object ends the wait at once",
			change: both(running(Pruned), func(s *State) {
				s.Subject.Checks = true
				s.Health = &Health{State: v1alpha1.HealthFailed, Message: "Job/apps/x"}
			}),
			want: Action{Step: Fail, Reason: ReasonHealthCheckFailed},
		},
		"failed": {
			reason: "a failure rests for the retry interval",
			change: failed(ReasonApplyFailed, 10*time.Second),
			want:   Action{Step: Idle, After: 50 * time.Second},
		},
		"failed, due": {
			reason: "and is tried again",
			change: failed(ReasonApplyFailed, time.Minute),
			want:   Action{Step: Begin, Cause: Changed},
		},
		"kinds missing": {
			reason: "somebody may install them any moment",
			change: both(failed(ReasonKindMissing, 5*time.Second), func(s *State) { s.Attempt.Failures = 1 }),
			want:   Action{Step: Begin, Cause: Changed},
		},
		"kinds missing for long": {
			reason: "each time it takes twice as long",
			change: both(failed(ReasonKindMissing, 5*time.Second), func(s *State) { s.Attempt.Failures = 3 }),
			want:   Action{Step: Idle, After: 15 * time.Second},
		},
		"kinds missing for very long": {
			reason: "but not longer than any other retry",
			change: both(failed(ReasonKindMissing, 5*time.Second), func(s *State) { s.Attempt.Failures = 30 }),
			want:   Action{Step: Idle, After: 55 * time.Second},
		},
		"not fetched": {
			reason: "what could not be fetched is asked for sooner",
			change: failed(ReasonArtifactFailed, 10*time.Second),
			want:   Action{Step: Begin, Cause: Changed},
		},
		"health failed, object moved": {
			reason: "health is looked at again when it moves",
			change: both(failed(ReasonHealthCheckFailed, time.Second), func(s *State) { s.Subject.Checks, s.HealthMoved = true, true }),
			want:   Action{Step: CheckHealth},
		},
		"health failed, recovered": {
			reason: "objects that turn healthy end the failure",
			change: both(failed(ReasonHealthCheckFailed, time.Second), func(s *State) {
				s.Subject.Checks = true
				s.Health = &Health{State: v1alpha1.HealthHealthy}
			}),
			want: Action{Step: Succeed},
		},
		"render recovered with the content that is applied": {
			reason: "the success is reported again after something else took its place",
			change: func(s *State) { s.Status.Ready, s.Status.Reason = "False", ReasonBuildFailed },
			want:   Action{Step: Succeed, After: 9 * time.Minute},
		},
		"failure overwritten": {
			reason: "so is a failure",
			change: both(failed(ReasonApplyFailed, time.Second), func(s *State) { s.Status.Reason = ReasonBuildFailed }),
			want:   Action{Step: Fail, Reason: ReasonApplyFailed, Message: "why", BlockedBy: []string{}, After: 59 * time.Second},
		},
		"stalled release": {
			reason: "a failure without retries waits for a change",
			change: both(failed(ReasonApplyFailed, time.Hour), func(s *State) { s.Attempt.Stalled = true }),
			want:   Action{Step: Idle},
		},
		"deletion": {
			reason: "a deletion never waits for a Render",
			change: func(s *State) { s.Subject.Deleting = true; s.Render = nil },
			want:   Action{Step: Finalize, Delete: true, After: TerminationPoll},
		},
		"deletion without finalizer": {
			reason: "then it is none of ours",
			change: func(s *State) { s.Subject.Deleting, s.Subject.Finalizer = true, false },
			want:   Action{Step: Idle},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := settled()
			tc.change(&s)
			ignore := cmpopts.IgnoreFields(Action{}, "Message", "Rule")
			if tc.want.Message != "" {
				ignore = cmpopts.IgnoreFields(Action{}, "Rule")
			}
			if diff := cmp.Diff(tc.want, Decide(s), ignore, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

// verifies is an attempt at an interval, before watches have listed anything.
func verifies(s *State) { s.Attempt.Cause, s.Unsynced = Verify, true }

func TestDecideRelease(t *testing.T) {
	next := v1alpha1.ReleaseParameters{Revision: 3}
	for name, tc := range map[string]struct {
		reason  string
		release Release
		change  func(*State)
		want    Action
	}{
		"unknown":           {"storage is compared first", Release{}, nil, Action{Step: Compare}},
		"interval":          {"also at an interval, and whatever watches have listed", Release{}, verifies, Action{Step: Compare}},
		"interval, in sync": {"then there is nothing to do", Release{Known: true, InSync: true}, verifies, Action{Step: Succeed}},
		"interval, gone":    {"what somebody has taken away is released again", Release{Known: true, Due: true, Next: next}, both(verifies, func(s *State) { s.Render.Release = &next }), Action{Step: Apply}},
		"revision moved":    {"the same content is not even compared", Release{}, func(s *State) { s.Attempt.Cause = Moved }, Action{Step: Succeed}},
		"in sync":           {"what is released already is not touched", Release{Known: true, InSync: true}, nil, Action{Step: Succeed}},
		"in sync, drift on": {"with drift detection objects are compared all the same", Release{Known: true, InSync: true}, func(s *State) { s.Subject.Corrects = true }, Action{Step: Apply}},
		"left pending":      {"what a crash left is put in order first", Release{Known: true, Repair: "x"}, nil, Action{Step: Repair}},
		"blocked":           {"a failure that counts is not retried", Release{Known: true, Blocked: "x"}, nil, Action{Step: Fail, Stalled: true, Reason: ReasonRetriesExceeded}},
		"other parameters":  {"templates have to see the right revision", Release{Known: true, Due: true, Next: next}, nil, Action{Step: AskRelease, Reason: ReasonProgressing, After: time.Second}},
		"right parameters":  {"then it is applied", Release{Known: true, Due: true, Next: next}, func(s *State) { s.Render.Release = &next }, Action{Step: Apply}},
	} {
		t.Run(name, func(t *testing.T) {
			s := settled()
			running(Started)(&s)
			s.Subject.Releases, s.Subject.Corrects, s.Release = true, false, tc.release
			if tc.change != nil {
				tc.change(&s)
			}
			if diff := cmp.Diff(tc.want, Decide(s), cmpopts.IgnoreFields(Action{}, "Message", "Rule"), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func TestDeletionPolicy(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		change func(*Subject)
		age    time.Duration
		want   Action
	}{
		"mirror, prune on":    {"prune says so", func(s *Subject) { s.DeletionPolicy = "MirrorPrune" }, 0, Action{Delete: true}},
		"mirror, prune off":   {"prune says no", func(s *Subject) { s.DeletionPolicy = "MirrorPrune"; s.Prune = false }, 0, Action{}},
		"delete, prune off":   {"the policy wins", func(s *Subject) { s.DeletionPolicy = "Delete"; s.Prune = false }, 0, Action{Delete: true}},
		"orphan":              {"everything stays", func(s *Subject) { s.DeletionPolicy = "Orphan" }, 0, Action{}},
		"wait":                {"objects are waited for", func(s *Subject) { s.DeletionPolicy = "WaitForTermination" }, time.Minute, Action{Delete: true, Await: true}},
		"wait, too long":      {"not for ever", func(s *Subject) { s.DeletionPolicy = "WaitForTermination" }, 5 * time.Minute, Action{Delete: true}},
		"suspended":           {"a suspended subject leaves everything", func(s *Subject) { s.DeletionPolicy = "Delete"; s.Suspended = true }, 0, Action{}},
		"unsupported, delete": {"what cannot be applied can be deleted", func(s *Subject) { s.Unsupported = []string{"spec.kubeConfig"} }, 0, Action{Delete: true}},
	} {
		t.Run(name, func(t *testing.T) {
			s := settled()
			s.Subject.Deleting, s.Deleting = true, tc.age
			tc.change(&s.Subject)
			tc.want.Step, tc.want.After = Finalize, TerminationPoll
			if diff := cmp.Diff(tc.want, Decide(s), cmpopts.IgnoreFields(Action{}, "Rule")); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}
