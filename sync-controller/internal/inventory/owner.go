package inventory

// Owner is the subject that objects belong to, as their labels tell it.
type Owner struct {
	// Group is the subject's API group, for example kustomize.toolkit.fluxcd.io. It is also the prefix of the annotations
	// by which an object steers how it is applied and pruned.
	Group     string
	Namespace string
	Name      string
}

// NameLabel is the label that holds the owner's name, for owners of the given API group.
func NameLabel(group string) string { return group + "/name" }

// NamespaceLabel is the label that holds the owner's namespace, for owners of the given API group.
func NamespaceLabel(group string) string { return group + "/namespace" }

// Labels returns the two labels that every object of the owner carries.
func (o Owner) Labels() map[string]string {
	return map[string]string{NameLabel(o.Group): o.Name, NamespaceLabel(o.Group): o.Namespace}
}

// Owns says whether the labels name this owner.
func (o Owner) Owns(labels map[string]string) bool {
	return labels[NameLabel(o.Group)] == o.Name && labels[NamespaceLabel(o.Group)] == o.Namespace && o.Name != ""
}

// OwnerIn reads the owner of the given API group from an object's labels; false when they do not name one.
func OwnerIn(labels map[string]string, group string) (Owner, bool) {
	owner := Owner{Group: group, Namespace: labels[NamespaceLabel(group)], Name: labels[NameLabel(group)]}
	return owner, owner.Name != "" && owner.Namespace != ""
}
