package events

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// Reasons of the events that tell of changes that somebody else made.
const (
	ReasonDriftDetected         = "DriftDetected"
	ReasonDriftCorrected        = "DriftCorrected"
	ReasonDriftCorrectionFailed = "DriftCorrectionFailed"
)

// Drift is what became of changes that somebody else made.
type Drift struct {
	Corrected []Drifted
	// Refused says why others could not be corrected; empty when all were.
	Refused string
}

// Drifted is an object that somebody else has changed. Nothing in it is a value of the object.
type Drifted struct {
	// Object is Kind/namespace/name; Manager is who changed it, empty when nobody knows.
	Object, Manager string
	// Found and Corrected are lines about it: in what state it was, and that it was put right.
	Found, Corrected string
}

// Drift tells of corrections. Of a release those are two events, as Flux has them. That something could not be corrected is
// told once for each cause, and only beside the subject: it is tried again, and no event would end a page that it opened.
func (e *Emitter) Drift(s subject.Subject, at time.Time, d Drift, reported *Reported) {
	var detected, corrected []string
	for _, one := range d.Corrected {
		detected, corrected = append(detected, one.Found), append(corrected, one.Corrected)
	}
	release := s.Release()
	switch {
	case len(corrected) == 0:
	case release == "":
		e.Emit(s, at, Normal, ReasonDriftCorrected, corrected...)
	default:
		e.Emit(s, at, Normal, ReasonDriftDetected, under(fmt.Sprintf("release %s has drifted:", release), detected)...)
		e.Emit(s, at, Normal, ReasonDriftCorrected, under(fmt.Sprintf("drift of release %s is corrected:", release), corrected)...)
	}
	if d.Refused != "" && d.Refused != reported.refused {
		e.record(s, Warning, ReasonDriftCorrectionFailed, "drift is not corrected: "+d.Refused)
	}
	reported.refused = d.Refused
}

// under puts lines below a heading.
func under(heading string, lines []string) []string {
	return append([]string{heading}, lines...)
}

// driftOf reads what an attempt found from the lines of its change set: an object that had to be created was gone.
func driftOf(changed []string) Drift {
	var d Drift
	for _, line := range changed {
		object, action, _ := strings.Cut(line, " ")
		one := Drifted{Object: object, Found: object + " was changed", Corrected: line}
		if action == "created" {
			one.Found = object + " was deleted"
		}
		d.Corrected = append(d.Corrected, one)
	}
	return d
}
