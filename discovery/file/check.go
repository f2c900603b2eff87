package file

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/discovery/istio"
	"github.com/eastway/eastway/internal/atomicfile"
)

// Report is what Check found in a directory.
type Report struct {
	// Files is how many were read.
	Files int
	// Objects are those that a Source uses, by kind.
	Objects map[string]int
	// Errors include warnings.
	Errors []FileError
	// Notes are about what was not read on purpose: other files, and objects of other kinds.
	Notes []FileError
}

// CheckDir returns why dir is no directory that can be read, and what to do.
func CheckDir(dir string) error {
	d, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%s is not a directory: name the one that holds the manifests", dir)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: create the directory, or name another", err)
	case err != nil:
		return atomicfile.Explain(err)
	}
	return d.Close()
}

// Check reads the directory once, as a Source that begins now does. The error is about the directory itself.
func Check(cfg Config) (Report, error) {
	if err := cfg.Validate(); err != nil {
		return Report{}, err
	}
	s := newStore(&cfg)
	local, errs, err := s.load()
	if err != nil {
		return Report{}, err
	}
	r := Report{Files: len(s.files), Objects: map[string]int{}, Errors: errs, Notes: s.notes()}
	for k := range s.owner {
		r.Objects[k.kind]++
	}
	// Of these some may be refused for another one.
	outside := 0
	for _, service := range local.Services.All() {
		if service.External != nil {
			outside++
		}
	}
	for kind, n := range map[string]int{
		v1alpha1.KindService: local.Services.Len() - outside, v1alpha1.KindExternal: outside,
		"TrafficPolicy": local.Policies.Len(), peerKind: len(local.Peers),
	} {
		if n < r.Objects[kind] {
			r.Objects[kind] = n
		}
	}
	return r, nil
}

// notes are about what was not read on purpose, in the order of files.
func (s *store) notes() []FileError {
	var notes []FileError
	for name, why := range s.ignored {
		notes = append(notes, FileError{File: name, Message: why, Warning: true})
	}
	for name, f := range s.files {
		if f.foreign != "" {
			notes = append(notes, FileError{File: name, Message: f.foreign, Warning: true})
		}
	}
	return sorted(notes)
}

// foreignNote is about objects of other kinds; "" for none.
func foreignNote(foreign map[metav1.TypeMeta]int) string {
	if len(foreign) == 0 {
		return ""
	}
	const shown = 5
	var names []string
	for t, n := range foreign {
		name := fmt.Sprintf("%.60s %.60s", t.APIVersion, t.Kind)
		if n > 1 {
			name = fmt.Sprintf("%d × %s", n, name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	if more := len(names) - shown; more > 0 {
		names = append(names[:shown], fmt.Sprintf("%d more kinds", more))
	}
	return "objects of kinds that Eastway does not read are ignored: " + strings.Join(names, ", ")
}

// readable names the kinds that are read, as what is known of an object's kind suggests: "" stands for all of them.
func (p *parser) readable(kind string) string {
	versions := map[string][]string{}
	for t := range p.kinds {
		if kind == "" && t.GroupVersionKind().Group != istio.Group || kind == t.Kind {
			versions[t.Kind] = append(versions[t.Kind], t.APIVersion)
		}
	}
	var names []string
	for _, k := range slices.Sorted(maps.Keys(versions)) {
		slices.Sort(versions[k])
		names = append(names, strings.Join(versions[k], " and ")+" "+k)
	}
	if kind == "" {
		names = append(names, "Istio's DestinationRule, ServiceEntry and VirtualService, v1 List of these")
	}
	return strings.Join(names, ", ")
}
