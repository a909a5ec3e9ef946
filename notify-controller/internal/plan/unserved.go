package plan

import (
	"fmt"
	"slices"
	"strings"

	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
)

// Served lists the Provider types that notifications can be sent to.
func Served() []string {
	return []string{
		notificationv1beta3.GenericProvider,
		notificationv1beta3.GenericHMACProvider,
		notificationv1beta3.PagerDutyProvider,
		notificationv1beta3.SlackProvider,
	}
}

// Chat reports whether a Provider type is read by people, who are not told about commit status updates.
func Chat(providerType string) bool { return providerType == notificationv1beta3.SlackProvider }

// Unserved says what a Provider asks for that is not served, for the user; empty when all of it is.
func Unserved(spec notificationv1beta3.ProviderSpec) string {
	if !slices.Contains(Served(), spec.Type) {
		return fmt.Sprintf("spec.type %.40q is not served; served are %s", spec.Type, strings.Join(Served(), ", "))
	}
	var fields []string
	for field, used := range map[string]bool{
		"spec.proxy":              spec.Proxy != "",
		"spec.proxySecretRef":     spec.ProxySecretRef != nil,
		"spec.serviceAccountName": spec.ServiceAccountName != "",
		"spec.commitStatusExpr":   spec.CommitStatusExpr != "",
	} {
		if used {
			fields = append(fields, field)
		}
	}
	if len(fields) == 0 {
		return ""
	}
	slices.Sort(fields)
	return strings.Join(fields, ", ") + " not served; remove what is set, the cluster's HTTPS_PROXY is obeyed"
}
