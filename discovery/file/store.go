package file

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/atomicfile"
)

// maxObjects is how many objects are taken of one directory.
const maxObjects = 100_000

// emptied is what is wrong with a file that had objects and has nothing now, not even a comment: a write to a full disk leaves that.
const emptied = "the file is empty: what it had stays in use; write it again or delete it"

// store holds the last good state of every object, file by file.
type store struct {
	parser
	cfg    *Config
	limits limits
	files  map[string]*fileState
	owner  map[key]string // the file that an object is taken from
	age    map[key]uint64 // the load in which an object was first seen
	loads  uint64
	// ignored are the entries of the directory that were not read, with the reason.
	ignored map[string]string
}

// fileState is one file: its objects are good, if not always the newest.
type fileState struct {
	sum     [sha256.Size]byte
	objects map[key]*held
	refused []*object
	errs    []FileError
	foreign string // the note about objects of other kinds
}

// held is an object of a file.
type held struct {
	*object
	// stale is true for a last good version that the file no longer has.
	stale bool
	// unnamed is true for one of these that the file may well have lost on purpose: something in it cannot be read at all.
	unnamed bool
}

func newStore(cfg *Config) *store {
	return &store{
		parser: newParser(cfg), cfg: cfg, limits: limits{files: maxFiles, total: maxTotal},
		files: map[string]*fileState{},
		owner: map[key]string{},
		age:   map[key]uint64{},
	}
}

// load reads the directory. An error means that it could not be read as a whole: nothing has changed then.
func (s *store) load() (discovery.Local, []FileError, error) {
	files, err := s.limits.readDir(s.cfg.Dir)
	if err != nil {
		return discovery.Local{}, nil, fmt.Errorf("file: read manifests: %w", atomicfile.Explain(err))
	}
	local, errs := s.apply(files)
	return local, errs, nil
}

// apply takes what was read of the directory.
func (s *store) apply(files []content) (discovery.Local, []FileError) {
	s.loads++
	gone := maps.Clone(s.files)
	s.ignored = map[string]string{}
	for _, f := range files {
		if f.ignored != "" {
			s.ignored[f.name] = f.ignored
			continue
		}
		delete(gone, f.name)
		s.take(f)
	}
	for name := range gone {
		delete(s.files, name)
	}
	objects, errs := s.choose()
	local, more := assemble(objects, s.refused(), s.cfg)
	errs = append(errs, more...)
	for _, f := range s.files {
		errs = append(errs, f.errs...)
	}
	return local, sorted(errs)
}

// take updates what is known of one file.
func (s *store) take(f content) {
	st := s.files[f.name]
	if st == nil {
		st = &fileState{objects: map[key]*held{}}
		s.files[f.name] = st
	}
	if f.err != nil {
		st.sum = [sha256.Size]byte{}
		st.errs = nil
		if !errors.Is(f.err, errBeyond) {
			st.errs = []FileError{{File: f.name, Message: f.err.Error()}}
		}
		st.keep(func(key) (last, named bool) { return true, true })
		return
	}
	sum := sha256.Sum256(f.data)
	if sum == st.sum {
		return
	}
	st.sum = sum
	if len(st.objects) > 0 && len(bytes.TrimSpace(f.data)) == 0 {
		st.errs, st.foreign = []FileError{{File: f.name, Message: emptied}}, ""
		st.keep(func(key) (last, named bool) { return true, true })
		return
	}
	p := s.file(f.name, f.data)
	st.errs, st.foreign, st.refused = p.errs, foreignNote(p.foreign), p.refused
	st.keep(func(k key) (last, named bool) { return p.unread.match(k), p.unread.names(k) })
	for _, o := range p.objects {
		if h := st.objects[o.key]; h != nil && !h.stale {
			st.errs = append(st.errs, o.fault("metadata.name", "%s is already in document %d of this file: this one is ignored",
				o.key, h.doc))
			continue
		}
		st.objects[o.key] = &held{object: o}
	}
}

// keep drops the objects for which last is false, and marks the others as stale. No error names those for which named is false.
func (st *fileState) keep(of func(key) (last, named bool)) {
	for k, h := range st.objects {
		last, named := of(k)
		if !last {
			delete(st.objects, k)
			continue
		}
		h.stale, h.unnamed = true, !named
	}
}

// choose picks, of the files that have the same object, the one that counts: one that really has it before one that only
// had it, then the one that it was taken from before, then by name. The objects come in the order of their age.
func (s *store) choose() ([]*object, []FileError) {
	var errs []FileError
	chosen := map[key]*held{}
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		for k, h := range s.files[name].objects {
			old := chosen[k]
			if old == nil {
				chosen[k] = h
				continue
			}
			winner, loser := old, h
			if old.stale && !h.stale || old.stale == h.stale && s.owner[k] == h.file {
				winner, loser = h, old
			}
			chosen[k] = winner
			if !loser.stale {
				errs = append(errs, loser.fault("metadata.name",
					"%s is already taken by %s: this one is ignored; remove one of the two", k, winner.file))
			}
		}
	}
	objects := make([]*object, 0, len(chosen))
	kept := map[string][]string{} // by file
	for k, h := range chosen {
		if h.stale && h.unnamed {
			kept[h.file] = append(kept[h.file], k.String())
		}
		s.owner[k] = h.file
		if s.age[k] == 0 {
			s.age[k] = s.loads
		}
		objects = append(objects, h.object)
	}
	for name, keys := range kept {
		errs = append(errs, keptWarning(name, keys))
	}
	forget := func(k key) bool { return chosen[k] == nil }
	maps.DeleteFunc(s.owner, func(k key, _ string) bool { return forget(k) })
	maps.DeleteFunc(s.age, func(k key, _ uint64) bool { return forget(k) })
	slices.SortFunc(objects, func(a, b *object) int {
		return cmp.Or(cmp.Compare(s.age[a.key], s.age[b.key]), cmp.Compare(a.key.kind, b.key.kind),
			cmp.Compare(a.key.namespace, b.key.namespace), cmp.Compare(a.key.name, b.key.name))
	})
	if len(objects) > maxObjects {
		errs = append(errs, objects[maxObjects].fault("", "more than %d objects: this one and %d others are ignored", maxObjects,
			len(objects)-maxObjects-1))
		objects = objects[:maxObjects]
	}
	return objects, errs
}

// refused are objects that are not used, and of which there is no last good version either.
func (s *store) refused() []*object {
	var out []*object
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		for _, o := range s.files[name].refused {
			if s.owner[o.key] == "" {
				out = append(out, o)
			}
		}
	}
	return out
}

// keptWarning is about objects that a file had, in use because something in it cannot be read.
func keptWarning(file string, keys []string) FileError {
	const shown = 3
	slices.Sort(keys)
	names := strings.Join(keys[:min(shown, len(keys))], ", ")
	if more := len(keys) - shown; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	return FileError{File: file, Warning: true, Message: "a part of this file cannot be read, so what may be there stays in use: " + names +
		"; repair or remove that part"}
}
