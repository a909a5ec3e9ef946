package kustomize

import (
	"encoding/base64"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/resource"
)

// decryptKey on an object, as a label or an annotation with the value "disabled", leaves it as it is.
const decryptKey = "kustomize.toolkit.fluxcd.io/decrypt"

// disabled is the value of such switches.
const disabled = "disabled"

// unmark takes the marker off a built object, and says whether it was there.
func unmark(res *resource.Resource) (bool, error) {
	annotations := res.GetAnnotations()
	if _, marked := annotations[marker]; !marked {
		return false, nil
	}
	delete(annotations, marker)
	return true, res.SetAnnotations(annotations)
}

func isSecret(object *unstructured.Unstructured) bool {
	return object.GetKind() == "Secret" && object.GetAPIVersion() == "v1"
}

func optedOut(object *unstructured.Unstructured) bool {
	return strings.EqualFold(object.GetAnnotations()[decryptKey], disabled) || strings.EqualFold(object.GetLabels()[decryptKey], disabled)
}

// refuseEncrypted refuses a Secret whose values are ciphertext: applied, it would give its readers nonsense.
func refuseEncrypted(object *unstructured.Unstructured) error {
	if !isSecret(object) || !isEncrypted(object) {
		return nil
	}
	return failure("", "%s is SOPS encrypted, and spec.decryption is not set, or does not decrypt it: "+
		"configure decryption for this Kustomization, or set the annotation %s: %s on the Secret to apply it as it is",
		describe(object), decryptKey, disabled)
}

func isEncrypted(object *unstructured.Unstructured) bool {
	if mac, _, _ := unstructured.NestedString(object.Object, "sops", "mac"); mac != "" {
		return true
	}
	for _, field := range []string{"data", "stringData"} {
		values, _, _ := unstructured.NestedMap(object.Object, field)
		for _, value := range values {
			text, _ := value.(string)
			if isCiphertext(text) {
				return true
			}
			if field == "data" {
				decoded, err := base64.StdEncoding.DecodeString(text)
				if err == nil && isCiphertext(string(decoded)) {
					return true
				}
			}
		}
	}
	return false
}

// isCiphertext says whether a value is one that SOPS has encrypted.
func isCiphertext(value string) bool {
	return strings.HasPrefix(value, "ENC[AES256_GCM,data:") && strings.HasSuffix(strings.TrimSpace(value), "]")
}

// describe names an object: Kind/namespace/name, or Kind/name.
func describe(object *unstructured.Unstructured) string {
	if object.GetNamespace() == "" {
		return object.GetKind() + "/" + object.GetName()
	}
	return object.GetKind() + "/" + object.GetNamespace() + "/" + object.GetName()
}

// addMetadata adds spec.commonMetadata, which wins over what an object has.
func addMetadata(object *unstructured.Unstructured, in *Input) {
	if len(in.Labels) > 0 {
		object.SetLabels(merged(object.GetLabels(), in.Labels))
	}
	if len(in.Annotations) > 0 {
		object.SetAnnotations(merged(object.GetAnnotations(), in.Annotations))
	}
}

func merged(base, over map[string]string) map[string]string {
	all := make(map[string]string, len(base)+len(over))
	maps.Copy(all, base)
	maps.Copy(all, over)
	return all
}
