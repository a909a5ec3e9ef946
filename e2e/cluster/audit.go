package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// auditPolicy records who asked for what, never a body, and leaves out the
// control plane's own requests, which are most of all.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", "system:kwok"]
- level: None
  userGroups: ["system:serviceaccounts:kube-system"]
- level: None
  nonResourceURLs: ["*"]
- level: Metadata
`

// AuditEntry is one request to the API server.
type AuditEntry struct {
	User      string // e.g. system:serviceaccount:flux-system:sync-controller
	As        string // whom User acted as; empty for itself
	Verb      string // get, list, watch, create, update, patch, delete, …
	Group     string
	Resource  string // plural, e.g. deployments
	Namespace string
	Name      string
	// Subresource is e.g. status or scale.
	Subresource string
	// URI has the query, which tells a dry-run from a write.
	URI string
	// Code is the HTTP status of the answer.
	Code int
	// Ending says that nothing could be made because the namespace was being deleted.
	Ending bool
	Time   time.Time // when the request came
}

// Audit returns the requests that were answered since the start, oldest first,
// without those of the control plane itself. A watch counts when it begins.
// The API server writes a request down right after it answers it, so the last
// ones may be missing. It is an error to ask without Options.Audit.
func (c *Cluster) Audit() ([]AuditEntry, error) {
	f, err := os.Open(c.layout.auditLog())
	if err != nil {
		return nil, fmt.Errorf("read audit log (is Options.Audit set?): %w", err)
	}
	defer func() { _ = f.Close() }()
	var entries []AuditEntry
	decoder := json.NewDecoder(f)
	for {
		var e auditEvent
		err := decoder.Decode(&e)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // the last line is being written
			return entries, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read audit log: %w", err)
		}
		if begins := e.Stage == "ResponseStarted"; begins == (e.Verb == "watch") {
			entries = append(entries, e.entry())
		}
	}
}

// auditEvent is the part of audit.k8s.io/v1 Event that an entry keeps.
type auditEvent struct {
	Stage     string `json:"stage"`
	Verb      string `json:"verb"`
	URI       string `json:"requestURI"`
	ObjectRef struct {
		Resource    string `json:"resource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
		APIGroup    string `json:"apiGroup"`
		Subresource string `json:"subresource"`
	} `json:"objectRef"`
	User struct {
		Username string `json:"username"`
	} `json:"user"`
	Impersonated struct {
		Username string `json:"username"`
	} `json:"impersonatedUser"`
	Status struct {
		Code    int `json:"code"`
		Details struct {
			Causes []struct {
				Type string `json:"reason"`
			} `json:"causes"`
		} `json:"details"`
	} `json:"responseStatus"`
	Time time.Time `json:"requestReceivedTimestamp"`
}

func (e auditEvent) entry() AuditEntry {
	ending := false
	for _, cause := range e.Status.Details.Causes {
		ending = ending || cause.Type == "NamespaceTerminating"
	}
	return AuditEntry{
		User: e.User.Username, As: e.Impersonated.Username, Verb: e.Verb, URI: e.URI,
		Group: e.ObjectRef.APIGroup, Resource: e.ObjectRef.Resource, Subresource: e.ObjectRef.Subresource,
		Namespace: e.ObjectRef.Namespace, Name: e.ObjectRef.Name,
		Code: e.Status.Code, Ending: ending, Time: e.Time,
	}
}

func (l *layout) auditLog() string { return filepath.Join(l.dir, "logs", "audit.log") }

// auditArgs are the API server's flags for an audit log, none if it is off.
func (l *layout) auditArgs() []string {
	if !l.audit {
		return nil
	}
	return []string{"--audit-policy-file=" + l.auditPolicyFile(), "--audit-log-path=" + l.auditLog()}
}

func (l *layout) auditPolicyFile() string { return filepath.Join(l.dir, "audit-policy.yaml") }
