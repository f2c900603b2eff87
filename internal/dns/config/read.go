package config

import (
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
}

func (o *object) fault(field, format string, args ...any) file.FileError {
	return file.FileError{File: o.file, Document: o.doc, Line: o.place.Line(field), Field: field, Message: fmt.Sprintf(format, args...)}
}

// Reader reads a directory again and again. An object that cannot be used any more stays as it was.
type Reader struct {
	dir  string
	good map[key]*object
}

// NewReader reads that directory.
func NewReader(dir string) *Reader { return &Reader{dir: dir} }

// reading is one pass over the directory.
type reading struct {
	old, objects map[key]*object
	errs         []file.FileError
}

// Read returns what is to be served, and what is wrong. It fails if the directory cannot be read.
func (r *Reader) Read() (*Config, []file.FileError, error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, nil, fmt.Errorf("manifests of the DNS: %w: name another directory, or create this one", err)
	}
	pass := &reading{old: r.good, objects: make(map[key]*object)}
	files := 0
	for _, e := range entries {
		ext := strings.ToLower(filepath.Ext(e.Name()))
		if strings.HasPrefix(e.Name(), ".") || !slices.Contains([]string{".yaml", ".yml", ".json"}, ext) {
			continue
		}
		if files++; files > maxFiles {
			text := fmt.Sprintf("this and later files are not read: at most %d are", maxFiles)
			pass.errs = append(pass.errs, file.FileError{File: e.Name(), Message: text})
			break
		}
		data, err := readFile(filepath.Join(r.dir, e.Name()))
		if err != nil {
			pass.errs = append(pass.errs, file.FileError{File: e.Name(), Message: err.Error()})
			pass.keepFile(e.Name())
			continue
		}
		for _, m := range manifest.Read(e.Name(), data) {
			pass.add(e.Name(), m)
		}
	}
	config := pass.assemble()
	r.good = pass.objects
	slices.SortStableFunc(pass.errs, func(a, b file.FileError) int { return strings.Compare(a.File, b.File) })
	return config, pass.errs, nil
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

// keepFile keeps what a file held when it could be read.
func (p *reading) keepFile(name string) {
	for k, o := range p.old {
		if o.file == name && p.objects[k] == nil {
			p.objects[k] = o
		}
	}
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
		for _, f := range o.check() {
			p.errs = append(p.errs, o.fault(f.field, "%s", f.message))
			errs = append(errs, errors.New(f.message))
		}
	}
	p.put(key{m.ID.Kind, m.ID.Name}, o, len(errs) == 0)
}

// put uses an object, or what it was before if it is not valid.
func (p *reading) put(k key, o *object, valid bool) {
	old, other := p.old[k], p.objects[k]
	switch {
	case other != nil && other != old:
		p.errs = append(p.errs, o.fault("metadata.name", "%s %s is in %s already: remove one", k.kind, k.name, other.file))
	case valid:
		p.objects[k] = o
	case old != nil:
		p.objects[k] = old
	}
}

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
	case m.Cut: // it may be written right now
		p.keepFile(name)
	}
}

func (o *object) check() faults {
	if o.zone != nil {
		return o.zone.check()
	}
	return o.name.check()
}

// assemble checks objects against each other.
func (p *reading) assemble() *Config {
	c := new(Config)
	for _, k := range sortedKeys(p.objects) {
		o := p.objects[k]
		if o.zone == nil {
			continue
		}
		i := slices.IndexFunc(c.Zones, func(z *DNSZone) bool { return within(z.Name, k.name) || within(k.name, z.Name) })
		if i >= 0 {
			p.errs = append(p.errs, o.fault("metadata.name", "the zones %s and %s lie within each other: keep the larger one",
				k.name, c.Zones[i].Name))
			continue
		}
		c.Zones = append(c.Zones, o.zone)
	}
	for _, k := range sortedKeys(p.objects) {
		o := p.objects[k]
		if o.name == nil {
			continue
		}
		zone := c.Zone(k.name)
		switch {
		case zone == nil:
			p.errs = append(p.errs, o.fault("metadata.name", "%s lies in no %s: add one for the domain that is delegated here", k.name, KindZone))
		case slices.ContainsFunc(zone.Spec.NameServers, func(ns NameServer) bool { return ns.Name == k.name }):
			p.errs = append(p.errs, o.fault("metadata.name", "%s is a name server of the zone %s", k.name, zone.Name))
		case len(c.Names) == maxNames:
			p.errs = append(p.errs, o.fault("metadata.name", "more than %d names: it is not served", maxNames))
		default:
			c.Names = append(c.Names, o.name)
		}
	}
	return c
}

func sortedKeys(objects map[key]*object) []key {
	keys := make([]key, 0, len(objects))
	for k := range objects {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int { return strings.Compare(a.kind+" "+a.name, b.kind+" "+b.name) })
	return keys
}
