package config

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/file"
	"github.com/eastway/eastway/internal/manifest"
)

// Config is what is to be served; it is valid.
type Config struct {
	Zones []*DNSZone
	Names []*GlobalName // each in one of the zones
}

// Zone is the one that a name lies in.
func (c *Config) Zone(name string) *DNSZone {
	for _, z := range c.Zones {
		if within(name, z.Name) {
			return z
		}
	}
	return nil
}

// key of an object.
type key struct{ kind, name string }

// object as it was read.
type object struct {
	file  string
	doc   int
	zone  *DNSZone    // or
	name  *GlobalName // one of them
	place manifest.Places
	valid bool
}

func (o *object) fault(field, format string, args ...any) file.FileError {
	return file.FileError{File: o.file, Document: o.doc, Line: o.place.Line(field), Field: field, Message: fmt.Sprintf(format, args...)}
}

// Reader reads a directory again and again. An object that cannot be used any more stays as it was.
type Reader struct {
	dir      string
	loopback bool
	good     map[key]*object // valid by themselves
	served   map[key]*object
	sums     map[string][sha256.Size]byte // of the files of the last pass; nil: there was none
}

// NewReader reads that directory. Loopback addresses are refused unless they are allowed.
func NewReader(dir string, loopback bool) *Reader { return &Reader{dir: dir, loopback: loopback} }

// reading is one pass over the directory.
type reading struct {
	*Reader

	found   map[key][]*object
	objects map[key]*object
	now     map[string][sha256.Size]byte
	held    map[string]bool // files of which what they had before stays
	errs    []file.FileError
}

// Read returns what is to be served, and what is wrong. It fails if the directory cannot be read.
func (r *Reader) Read() (*Config, []file.FileError, error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, nil, fmt.Errorf("manifests of the DNS: %w: name another directory, or create this one", err)
	}
	p := &reading{
		Reader: r, found: make(map[key][]*object), objects: make(map[key]*object),
		now: make(map[string][sha256.Size]byte), held: make(map[string]bool),
	}
	names := manifestNames(entries)
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(p.rank(a), p.rank(b)) })
	total := 0
	for i, name := range names {
		if i == maxFiles {
			text := fmt.Sprintf("this and %d more files are not read: at most %d are", len(names)-1-i, maxFiles)
			p.errs = append(p.errs, file.FileError{File: name, Message: text})
			break
		}
		p.file(name, &total)
	}
	p.choose()
	config := p.assemble()
	r.good, r.sums = p.objects, p.now
	slices.SortStableFunc(p.errs, func(a, b file.FileError) int { return strings.Compare(a.File, b.File) })
	return config, p.errs, nil
}

// manifestNames are the files that may have manifests, by name.
func manifestNames(entries []os.DirEntry) (names []string) {
	for _, e := range entries {
		ext := strings.ToLower(filepath.Ext(e.Name()))
		if !strings.HasPrefix(e.Name(), ".") && slices.Contains([]string{".yaml", ".yml", ".json"}, ext) {
			names = append(names, e.Name())
		}
	}
	return names
}

// rank puts the files of the last pass before new ones, so that these meet the limits.
func (p *reading) rank(name string) int {
	if _, known := p.sums[name]; known {
		return 0
	}
	return 1
}

const emptied = "the file is empty: what it had stays in use; write it again or delete it"

// file takes the objects of a file.
func (p *reading) file(name string, total *int) {
	data, err := readFile(filepath.Join(p.dir, name))
	if *total += len(data); err == nil && *total > maxTotal {
		err = fmt.Errorf("all files together have more than %d MiB: this one is not read", maxTotal>>20)
	}
	if err != nil {
		p.errs = append(p.errs, file.FileError{File: name, Message: err.Error()})
		p.keepFile(name)
		p.now[name] = p.sums[name]
		return
	}
	p.now[name] = sha256.Sum256(data)
	if len(bytes.TrimSpace(data)) == 0 && p.keepFile(name) {
		p.errs = append(p.errs, file.FileError{File: name, Message: emptied})
	}
	for _, m := range manifest.Read(name, data) {
		p.add(name, m)
	}
}

// changed is true if a file is not as it was in the last pass: it may be written, or replaced, right now.
func (p *reading) changed(name string) bool {
	if p.sums == nil {
		return false
	}
	was, before := p.sums[name]
	is, there := p.now[name]
	return before != there || is != was
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path) // before opening: a FIFO would block
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err == nil && len(data) > maxFileSize {
		err = fmt.Errorf("larger than %d MiB: split it", maxFileSize>>20)
	}
	return data, err
}

// keepFile keeps what a file held; false: it held nothing.
func (p *reading) keepFile(name string) bool {
	p.held[name] = true
	for _, o := range p.good {
		if o.file == name {
			return true
		}
	}
	return false
}

// add takes an object of a file. Those of other kinds are not ours.
func (p *reading) add(name string, m *manifest.Object) {
	fail := func(err error) {
		at, _ := errors.AsType[*manifest.Error](err)
		if at == nil {
			at = &manifest.Error{}
		}
		p.errs = append(p.errs, file.FileError{File: name, Document: m.Document, Line: at.Line, Field: at.Field, Message: err.Error()})
	}
	o := &object{file: name, doc: m.Document}
	var into any
	switch m.ID.TypeMeta {
	case metav1.TypeMeta{APIVersion: APIVersion, Kind: KindZone}:
		o.zone = new(DNSZone)
		into = o.zone
	case metav1.TypeMeta{APIVersion: APIVersion, Kind: KindName}:
		o.name = new(GlobalName)
		into = o.name
	default:
		p.other(name, m, fail)
		return
	}
	if err := m.Identify(); err != nil {
		fail(err)
		p.keepFile(name)
		return
	}
	errs := m.Decode(into)
	for _, err := range errs {
		fail(err)
	}
	o.place = m.Places()
	if len(errs) == 0 {
		for _, f := range o.check(p.loopback) {
			p.errs = append(p.errs, o.fault(f.field, "%s", f.message))
			errs = append(errs, errors.New(f.message))
		}
	}
	// One that has no line break at its end may go on: it counts when it is read a second time.
	o.valid = len(errs) == 0 && (!m.Cut || !p.changed(name))
	k := key{m.ID.Kind, m.ID.Name}
	p.found[k] = append(p.found[k], o)
}

// choose picks an object of each name: of several files the one whose object was used before.
func (p *reading) choose() {
	for k, found := range p.found {
		old := p.last(k)
		at, in := p.pick(old, found), ""
		switch {
		case at >= 0 && found[at].valid:
			p.objects[k], in = found[at], found[at].file
		case old != nil:
			p.objects[k], in = old, old.file
		case at >= 0:
			in = found[at].file
		}
		moved := at < 0 && p.changed(in)
		for i, o := range found {
			if i != at && !moved {
				p.errs = append(p.errs, o.fault("metadata.name", "%s %s is in %s already: remove one", k.kind, k.name, in))
			}
		}
	}
	for k := range p.good {
		if old := p.last(k); p.found[k] == nil && p.stays(old) {
			p.objects[k] = old
		}
	}
}

// pick is which of the objects of one name counts; -1: the old one.
func (p *reading) pick(old *object, found []*object) int {
	if old != nil {
		if at := slices.IndexFunc(found, func(o *object) bool { return o.file == old.file }); at >= 0 || p.stays(old) {
			return at
		}
	}
	return max(0, slices.IndexFunc(found, func(o *object) bool { return o.valid }))
}

// last is what an object was in the last pass; nil: it was not there.
func (p *reading) last(k key) *object {
	if p.good[k] == nil {
		return nil
	}
	return cmp.Or(p.served[k], p.good[k])
}

// stays is true for an object that its file has no more, while that is not certain.
func (p *reading) stays(o *object) bool { return p.held[o.file] || p.changed(o.file) }

// other is an object that is not of a kind that is read here.
func (p *reading) other(name string, m *manifest.Object, fail func(error)) {
	switch ours := m.ID.APIVersion == APIVersion && (manifest.Mistyped(m.ID.Kind, KindZone) || manifest.Mistyped(m.ID.Kind, KindName)); {
	case m.Err != nil:
		fail(m.Err)
		p.keepFile(name)
	case ours || m.ID.Kind == KindZone || m.ID.Kind == KindName:
		fail(m.Errorf("kind", "%s %s is not a kind that the DNS reads: it reads %s and %s of %s",
			m.ID.APIVersion, m.ID.Kind, KindZone, KindName, APIVersion))
		p.keepFile(name)
	case m.Cut && p.changed(name): // it may be written right now
		p.held[name] = true
	case m.Cut && !complete(m) && p.keepFile(name):
		fail(m.Errorf("kind", "the file ends early: what it had stays in use"))
	}
}

// complete is true for an object of another kind that names itself; one that does not may be cut.
func complete(m *manifest.Object) bool {
	return m.ID.APIVersion != "" && m.ID.Kind != "" && m.ID.Name != ""
}

func (o *object) check(loopback bool) faults {
	if o.zone != nil {
		return o.zone.check(loopback)
	}
	return o.name.check(loopback)
}
