package subject

import (
	"fmt"
	"slices"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
)

// rule is a field of spec whose value may ask for what is not served.
type rule struct {
	// field is the path of the field, or of all fields under it.
	field string
	// asks says whether it does, and with which value when only some values do.
	asks func(*helmv2.HelmReleaseSpec) (value string, asks bool)
}

// unsupported names the fields of spec that ask for what is not served yet, for example "spec.valuesFrom" or
// "spec.driftDetection.mode=warn": such a HelmRelease is refused whole rather than released as something else. It is
// empty when all is served. Fields that change nothing here (persistentClient, disableOpenAPIValidation, upgrade.force,
// and those of rollback, which only a remediation reads) are accepted, as Flux accepts them under server-side apply.
func unsupported(hr *helmv2.HelmRelease) []string {
	var fields []string
	for _, rule := range rules() {
		value, asks := rule.asks(&hr.Spec)
		switch {
		case asks && value != "":
			fields = append(fields, rule.field+"="+value)
		case asks:
			fields = append(fields, rule.field)
		}
	}
	slices.Sort(fields)
	return fields
}

func rules() []rule {
	return slices.Concat(contentRules(), actionRules("spec.install", install), actionRules("spec.upgrade", upgrade),
		installRules(), upgradeRules(), uninstallRules())
}

func contentRules() []rule {
	return []rule{
		{"spec.kubeConfig", set(func(s *helmv2.HelmReleaseSpec) bool { return s.KubeConfig != nil })},
		{"spec.valuesFrom", set(func(s *helmv2.HelmReleaseSpec) bool { return len(s.ValuesFrom) > 0 })},
		{"spec.commonMetadata", set(func(s *helmv2.HelmReleaseSpec) bool { return s.CommonMetadata != nil })},
		{"spec.postRenderers", set(func(s *helmv2.HelmReleaseSpec) bool { return len(s.PostRenderers) > 0 })},
		{"spec.dependsOn.readyExpr", set(func(s *helmv2.HelmReleaseSpec) bool {
			return slices.ContainsFunc(s.DependsOn, func(d helmv2.DependencyReference) bool { return d.ReadyExpr != "" })
		})},
		{"spec.healthCheckExprs", set(func(s *helmv2.HelmReleaseSpec) bool { return len(s.HealthCheckExprs) > 0 })},
		{"spec.test.enable", set(func(s *helmv2.HelmReleaseSpec) bool { return s.Test != nil && s.Test.Enable })},
		{"spec.waitStrategy.name", func(s *helmv2.HelmReleaseSpec) (string, bool) {
			if s.WaitStrategy == nil {
				return "", false
			}
			return string(s.WaitStrategy.Name), s.WaitStrategy.Name == helmv2.WaitStrategyLegacy
		}},
		{"spec.driftDetection.mode", func(s *helmv2.HelmReleaseSpec) (string, bool) {
			if s.DriftDetection == nil {
				return "", false
			}
			mode := s.DriftDetection.GetMode()
			return string(mode), mode != helmv2.DriftDetectionEnabled && mode != helmv2.DriftDetectionDisabled
		}},
		{"spec.driftDetection.ignore", set(func(s *helmv2.HelmReleaseSpec) bool {
			return s.DriftDetection != nil && len(s.DriftDetection.Ignore) > 0
		})},
	}
}

// action are the fields that install and upgrade share.
type action struct {
	strategy                               string
	retries                                int
	remediateLast, jobsUnwaited, ownership bool
}

func install(s *helmv2.HelmReleaseSpec) (a action) {
	if i := s.Install; i != nil {
		a.jobsUnwaited, a.ownership = i.DisableWaitForJobs, i.DisableTakeOwnership
		if i.Strategy != nil {
			a.strategy = i.Strategy.Name
		}
		if r := i.Remediation; r != nil {
			a.retries, a.remediateLast = r.Retries, r.RemediateLastFailure != nil && *r.RemediateLastFailure
		}
	}
	return a
}

func upgrade(s *helmv2.HelmReleaseSpec) (a action) {
	if u := s.Upgrade; u != nil {
		a.jobsUnwaited, a.ownership = u.DisableWaitForJobs, u.DisableTakeOwnership
		if u.Strategy != nil {
			a.strategy = u.Strategy.Name
		}
		if r := u.Remediation; r != nil {
			a.retries, a.remediateLast = r.Retries, r.RemediateLastFailure != nil && *r.RemediateLastFailure
		}
	}
	return a
}

func actionRules(path string, of func(*helmv2.HelmReleaseSpec) action) []rule {
	return []rule{
		{path + ".strategy.name", func(s *helmv2.HelmReleaseSpec) (string, bool) {
			name := of(s).strategy
			return name, name != "" && name != string(helmv2.ActionStrategyRemediateOnFailure)
		}},
		{path + ".remediation.retries", func(s *helmv2.HelmReleaseSpec) (string, bool) {
			retries := of(s).retries
			return fmt.Sprint(retries), retries != 0
		}},
		{path + ".remediation.remediateLastFailure", set(func(s *helmv2.HelmReleaseSpec) bool { return of(s).remediateLast })},
		{path + ".disableWaitForJobs", set(func(s *helmv2.HelmReleaseSpec) bool { return of(s).jobsUnwaited })},
		{path + ".disableTakeOwnership", set(func(s *helmv2.HelmReleaseSpec) bool { return of(s).ownership })},
	}
}

func installRules() []rule {
	return []rule{
		{"spec.install.serverSideApply", func(s *helmv2.HelmReleaseSpec) (string, bool) {
			return "false", s.Install != nil && s.Install.ServerSideApply != nil && !*s.Install.ServerSideApply
		}},
	}
}

func upgradeRules() []rule {
	return []rule{
		{"spec.upgrade.serverSideApply", func(s *helmv2.HelmReleaseSpec) (string, bool) {
			disabled := helmv2.ServerSideApplyDisabled
			return string(disabled), s.Upgrade != nil && s.Upgrade.ServerSideApply == disabled
		}},
		{"spec.upgrade.preserveValues", set(func(s *helmv2.HelmReleaseSpec) bool { return s.Upgrade != nil && s.Upgrade.PreserveValues })},
		{"spec.upgrade.cleanupOnFail", set(func(s *helmv2.HelmReleaseSpec) bool { return s.Upgrade != nil && s.Upgrade.CleanupOnFail })},
	}
}

func uninstallRules() []rule {
	return []rule{
		{"spec.uninstall.deletionPropagation", func(s *helmv2.HelmReleaseSpec) (string, bool) {
			if s.Uninstall == nil {
				return "", false
			}
			how := s.Uninstall.GetDeletionPropagation()
			return how, how != "background"
		}},
	}
}

// set is a field that any value of asks for something.
func set(is func(*helmv2.HelmReleaseSpec) bool) func(*helmv2.HelmReleaseSpec) (string, bool) {
	return func(s *helmv2.HelmReleaseSpec) (string, bool) { return "", is(s) }
}
