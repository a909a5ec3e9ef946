package bench

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestFleetFiles(t *testing.T) {
	files, err := fleetFiles(3)
	if err != nil {
		t.Fatal(err)
	}
	if want := 3 * (objectsPerApp + 1); len(files) != want {
		t.Errorf("%d files; want %d", len(files), want)
	}
	objects := appObjects(namespace, appName(2), "first version")
	if len(objects) != objectsPerApp {
		t.Errorf("%d objects; want %d, as every title says", len(objects), objectsPerApp)
	}
	for _, o := range objects {
		text := files["apps/"+appName(2)+"/"+o.file]
		if text == nil {
			t.Errorf("%s is not in the repository", o.file)
			continue
		}
		var fromGit, applied any
		if err := yaml.Unmarshal([]byte(*text), &fromGit); err != nil {
			t.Fatal(err)
		}
		bare, err := yaml.Marshal(o.fields)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(bare, &applied); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(applied, fromGit); diff != "" {
			t.Errorf("%s: bare applies must be of the same object:\n%s", o.file, diff)
		}
	}
}

func TestAppFilesDifferInOneObject(t *testing.T) {
	before, err := appFiles("app", "one")
	if err != nil {
		t.Fatal(err)
	}
	after, err := appFiles("app", "two")
	if err != nil {
		t.Fatal(err)
	}
	var changed []string
	for path, content := range after {
		if *content != *before[path] {
			changed = append(changed, path)
		}
	}
	if diff := cmp.Diff([]string{"apps/app/configmap.yaml"}, changed); diff != "" {
		t.Errorf("the budget of a commit counts on one changed object:\n%s", diff)
	}
}
