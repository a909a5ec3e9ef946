package plan_test

import (
	"testing"
	"time"

	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gitops/sluice/notify-controller/internal/plan"
)

func TestBegin(t *testing.T) {
	tests := map[string]struct {
		reason string
		state  plan.State
		want   plan.Action
	}{
		"new": {reason: "nothing is in the way", want: plan.Action{Kind: plan.Send, Rule: plan.RuleReady}},
		"delivered": {
			reason: "a delivery that comes up again is not sent again, whatever else is true",
			state:  plan.State{Stage: plan.Delivered, Age: 48 * time.Hour, Problem: "x"},
			want:   plan.Action{Kind: plan.Finish, Rule: plan.RuleSettled, Why: "already delivered"},
		},
		"dead": {
			reason: "a dead letter stays one",
			state:  plan.State{Stage: plan.Dead},
			want:   plan.Action{Kind: plan.Finish, Rule: plan.RuleSettled, Why: "already dead"},
		},
		"claimed": {
			reason: "another process may be sending it",
			state:  plan.State{Stage: plan.Claimed, Leased: 7 * time.Second},
			want:   plan.Action{Kind: plan.Wait, Rule: plan.RuleClaimed, After: 7 * time.Second, Why: "another attempt is under way"},
		},
		"lease over": {
			reason: "who claimed it is gone",
			state:  plan.State{Stage: plan.Claimed, Leased: -time.Second},
			want:   plan.Action{Kind: plan.Send, Rule: plan.RuleReady},
		},
		"problem": {
			reason: "no waiting mends a Provider that its user has to change",
			state:  plan.State{Problem: "spec.type is not served", Suspended: true, Paused: time.Hour},
			want:   plan.Action{Kind: plan.GiveUp, Rule: plan.RuleProviderUnusable, Why: "spec.type is not served"},
		},
		"expired": {
			reason: "the last failure tells why",
			state:  plan.State{Stage: plan.Failed, Age: plan.MaxAge, LastFailure: "502"},
			want:   plan.Action{Kind: plan.GiveUp, Rule: plan.RuleExpired, Why: "not delivered within 24h0m0s; the last attempt failed: 502"},
		},
		"expired while suspended": {
			reason: "a suspension does not keep deliveries for ever",
			state:  plan.State{Age: plan.MaxAge, Suspended: true},
			want:   plan.Action{Kind: plan.GiveUp, Rule: plan.RuleExpired, Why: "not delivered within 24h0m0s"},
		},
		"suspended": {
			reason: "it is held back",
			state:  plan.State{Suspended: true},
			want:   plan.Action{Kind: plan.Wait, Rule: plan.RuleProviderSuspended, After: time.Minute, Why: "the Provider is suspended"},
		},
		"paused": {
			reason: "the target has asked everybody to wait",
			state:  plan.State{Paused: 3 * time.Second},
			want:   plan.Action{Kind: plan.Wait, Rule: plan.RuleTargetBusy, After: 3 * time.Second, Why: "the target asked to wait"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, plan.Begin(tc.state)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestEnd(t *testing.T) {
	tests := map[string]struct {
		reason  string
		outcome plan.Outcome
		want    plan.Action
	}{
		"taken": {reason: "done", outcome: plan.Outcome{OK: true, Tries: 3}, want: plan.Action{Kind: plan.Finish, Rule: plan.RuleTaken, Why: "delivered"}},
		"permanent": {
			reason:  "at once, even if the target names a time",
			outcome: plan.Outcome{Permanent: true, Reason: "404", RetryAfter: time.Minute, Tries: 1},
			want:    plan.Action{Kind: plan.GiveUp, Rule: plan.RuleRefused, Why: "404"},
		},
		"asked to wait": {
			reason:  "the target's time counts, plus up to a second",
			outcome: plan.Outcome{Reason: "429", RetryAfter: 30 * time.Second, Tries: 1, Jitter: 0.5},
			want:    plan.Action{Kind: plan.Wait, Rule: plan.RuleTargetBusy, After: 30*time.Second + 500*time.Millisecond, Why: "429"},
		},
		"asked to wait for ever": {
			reason:  "a target cannot make us forget",
			outcome: plan.Outcome{RetryAfter: 1 << 60, Tries: 1},
			want:    plan.Action{Kind: plan.Wait, Rule: plan.RuleTargetBusy, After: time.Hour},
		},
		"first failure": {
			reason:  "one second",
			outcome: plan.Outcome{Reason: "500", Tries: 1, Jitter: 0.5},
			want:    plan.Action{Kind: plan.Wait, Rule: plan.RuleFailed, After: time.Second, Why: "500"},
		},
		"many failures": {
			reason:  "ten minutes at most",
			outcome: plan.Outcome{Reason: "500", Tries: 1 << 40, Jitter: 0.999},
			want:    plan.Action{Kind: plan.Wait, Rule: plan.RuleFailed, After: 10 * time.Minute, Why: "500"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, plan.End(tc.outcome)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestBackoffGrowsWithinItsBounds(t *testing.T) {
	previous := time.Duration(0)
	for tries := range 64 {
		low, high := plan.Backoff(tries, 0), plan.Backoff(tries, 0.999)
		if low < plan.MinBackoff || high > plan.MaxBackoff || low > high || high < previous {
			t.Errorf("after %d tries: %s to %s, after %s before", tries, low, high, previous)
		}
		previous = high
	}
}

func TestArrange(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	open, closed := plan.Incident{At: at(10), Open: true}, plan.Incident{At: at(10)}
	tests := map[string]struct {
		reason string
		known  plan.Incident
		effect plan.Effect
		second int
		want   plan.Kind
		rule   plan.Rule
		then   plan.Incident
	}{
		"no effect":              {"a change event may come whenever it likes", open, "", 5, plan.Send, plan.RuleNoEffect, open},
		"first failure":          {"opens", plan.Incident{}, plan.Opens, 10, plan.Send, plan.RuleStateChanges, open},
		"recovery":               {"closes", open, plan.Closes, 11, plan.Send, plan.RuleStateChanges, plan.Incident{At: at(11)}},
		"blind recovery":         {"the target ignores it if nothing is open", plan.Incident{}, plan.Closes, 10, plan.Send, plan.RuleStateChanges, closed},
		"old failure":            {"nothing would resolve it", closed, plan.Opens, 9, plan.Finish, plan.RuleSuperseded, closed},
		"old recovery":           {"it would hide the newer failure", open, plan.Closes, 9, plan.Finish, plan.RuleSuperseded, open},
		"old failure, still bad": {"the target merges it", open, plan.Opens, 9, plan.Send, plan.RuleSameAsNewer, open},
		"same again":             {"a crash may have kept it from being sent", open, plan.Opens, 10, plan.Send, plan.RuleStateChanges, open},
		"status update, open":    {"a revision that changed nothing may have mended it", open, plan.ClosesOpened, 11, plan.Send, plan.RuleStateChanges, plan.Incident{At: at(11)}},
		"status update, again":   {"its first attempt may have failed", closed, plan.ClosesOpened, 10, plan.Send, plan.RuleStateChanges, closed},
		"status update, closed":  {"one request per object and revision is too many", closed, plan.ClosesOpened, 11, plan.Finish, plan.RuleNothingOpen, closed},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			then, action := plan.Arrange(tc.known, tc.effect, at(tc.second))
			if action.Kind != tc.want || action.Rule != tc.rule || then != tc.then {
				t.Errorf("%s: got %+v, then %+v", tc.reason, action, then)
			}
		})
	}
}

func TestUnserved(t *testing.T) {
	tests := map[string]struct {
		reason string
		spec   notificationv1beta3.ProviderSpec
		want   string
	}{
		"slack":        {reason: "served", spec: notificationv1beta3.ProviderSpec{Type: "slack"}},
		"generic-hmac": {reason: "served", spec: notificationv1beta3.ProviderSpec{Type: "generic-hmac"}},
		"type": {
			reason: "named, with what can be used instead",
			spec:   notificationv1beta3.ProviderSpec{Type: "msteams"},
			want:   `spec.type "msteams" is not served; served are generic, generic-hmac, pagerduty, slack`,
		},
		"fields": {
			reason: "all of them, in order",
			spec: notificationv1beta3.ProviderSpec{
				Type: "slack", Proxy: "http://p", ProxySecretRef: &meta.LocalObjectReference{Name: "p"},
				ServiceAccountName: "sa", CommitStatusExpr: "x",
			},
			want: "spec.commitStatusExpr, spec.proxy, spec.proxySecretRef, spec.serviceAccountName not served; " +
				"remove what is set, the cluster's HTTPS_PROXY is obeyed",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, plan.Unserved(tc.spec)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}
