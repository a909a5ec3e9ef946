package config

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		args   []string
		want   string
	}{
		"nothing":       {reason: "no flag is needed", args: nil},
		"all":           {reason: "what the chart sets", args: []string{"--storage-path=/x", "--concurrent=8", "--nats-url=nats://n:4222", "--allow-flux", "--watch-label-selector=a=b"}},
		"no workers":    {reason: "somebody has to work", args: []string{"--concurrent=0"}, want: "--concurrent"},
		"no storage":    {reason: "contents have to be somewhere", args: []string{"--storage-path="}, want: "--storage-path"},
		"full jitter":   {reason: "an interval is never nothing", args: []string{"--interval-jitter-percentage=100"}, want: "--interval-jitter-percentage"},
		"retry delays":  {reason: "the shortest is not longer than the longest", args: []string{"--min-retry-delay=1h"}, want: "--min-retry-delay"},
		"no dependency": {reason: "a poll has a period", args: []string{"--requeue-dependency=0s"}, want: "--requeue-dependency"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Parse(tc.args, func(string) string { return "" })
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%s: %v", tc.reason, err)
				}
				return
			}
			if err != nil || c.Namespace != "flux-system" {
				t.Errorf("%s: %v, namespace %q", tc.reason, err, c.Namespace)
			}
		})
	}
}
