package convert

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/discovery/istio"
	"github.com/eastway/eastway/internal/manifest"
)

// input is a file.
type input struct {
	name string
	data []byte
}

// Effects beside those of fields.
const (
	invalid istio.Effect = "invalid"     // the object cannot be read
	passed  istio.Effect = "passed over" // it is of another kind
)

// line is something that there is to know about a place in a file.
type line struct {
	file      string
	number    int
	object    string // kind and name; "" if they are not known
	field     string
	effect    istio.Effect
	message   string
	fileOrder int
}

func (l *line) String() string {
	out := fmt.Sprintf("%s:%d: ", l.file, l.number)
	if l.object != "" {
		out += l.object + ": "
	}
	if l.field != "" {
		out += l.field + ": "
	}
	return out + string(l.effect) + ": " + l.message
}

// conversion is what comes of some files.
type conversion struct {
	yaml  []byte
	lines []*line
}

// count is how many lines have one of the effects.
func (c *conversion) count(effects ...istio.Effect) (n int) {
	for _, l := range c.lines {
		if slices.Contains(effects, l.effect) {
			n++
		}
	}
	return n
}

// place is where an object stands.
type place struct {
	line
	places manifest.Places
}

// reader gathers the objects of all files.
type reader struct {
	conversion
	objects []metav1.Object
	refused []*istio.DestinationRule
	from    map[metav1.Object]*place
	seen    map[string]string // the place of each kind and name
}

func convert(inputs []input, cluster bool) (*conversion, error) {
	r := reader{from: map[metav1.Object]*place{}, seen: map[string]string{}}
	for i, in := range inputs {
		for _, m := range manifest.Read(in.name, in.data) {
			r.object(line{file: in.name, fileOrder: i}, m)
		}
	}
	slices.SortStableFunc(r.objects, func(a, b metav1.Object) int { // as a proxy does
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	run := istio.Convert
	if cluster {
		run = istio.ConvertForCluster
	}
	got := run(r.objects, r.refused...)
	for i := range got.Found {
		r.find(r.from[got.Found[i].Of], &got.Found[i].Finding)
	}
	for _, x := range got.Externals {
		if err := r.print(x.ExternalService); err != nil {
			return nil, err
		}
	}
	for _, p := range got.Policies {
		p.CreationTimestamp = metav1.Time{}
		if err := r.print(p.TrafficPolicy); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(r.lines, func(a, b *line) int {
		return cmp.Or(cmp.Compare(a.fileOrder, b.fileOrder), cmp.Compare(a.number, b.number), cmp.Compare(a.field, b.field))
	})
	return &r.conversion, nil
}

func (r *reader) print(object any) error {
	text, err := yaml.Marshal(object)
	if err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	if len(r.yaml) > 0 {
		r.yaml = append(r.yaml, "---\n"...)
	}
	r.yaml = append(r.yaml, text...)
	return nil
}

// object reads one of a file.
func (r *reader) object(at line, m *manifest.Object) {
	at.number = m.Places().Line("kind")
	empty, known := istio.Kinds()[m.ID.TypeMeta]
	if m.Err == nil && !known {
		r.foreign(at, m)
		return
	}
	if err := m.Identify(); err != nil {
		r.invalid(at, err)
		return
	}
	o := empty()
	unknown, errs := istio.Unknowns(m.Decode(o))
	o.SetNamespace(cmp.Or(o.GetNamespace(), metav1.NamespaceDefault))
	at.object = fmt.Sprintf("%s %s/%s", m.ID.Kind, o.GetNamespace(), o.GetName())
	p := &place{line: at, places: m.Places()}
	for _, err := range errs {
		r.invalid(at, err)
	}
	if len(errs) > 0 {
		r.refuse(o)
		return
	}
	if first := r.seen[at.object]; first != "" {
		at.effect, at.message = invalid, "is already in "+first+": this one is ignored"
		r.lines = append(r.lines, &at)
		return
	}
	r.seen[at.object] = fmt.Sprintf("%s:%d", at.file, at.number)
	found := istio.Check(o, unknown)
	for i := range found {
		r.find(p, &found[i])
	}
	if !istio.Usable(found) {
		r.refuse(o)
		return
	}
	r.objects, r.from[o] = append(r.objects, o), p
}

// refuse keeps a rule that is not used in mind: it may add TLS.
func (r *reader) refuse(o metav1.Object) {
	if rule, ok := o.(*istio.DestinationRule); ok {
		r.refused = append(r.refused, rule)
	}
}

// foreign notes an object of another kind.
func (r *reader) foreign(at line, m *manifest.Object) {
	at.effect, at.object = passed, m.ID.Kind
	if m.ID.Name != "" {
		at.object += " " + m.ID.Name
	}
	at.message = fmt.Sprintf("%s is no kind of Istio's that is converted", m.ID.APIVersion)
	switch {
	case m.ID.Kind == "":
		at.object, at.effect, at.message = "", invalid, "no kind: this is no manifest"
	case m.ID.APIVersion == "":
		at.effect, at.message = invalid, "no apiVersion: this is no manifest"
	case m.ID.Group() == istio.Group:
		at.message += ": DestinationRule, ServiceEntry and VirtualService are"
	}
	r.lines = append(r.lines, &at)
}

func (r *reader) invalid(at line, err error) {
	at.effect, at.message = invalid, err.Error()
	if where, ok := errors.AsType[*manifest.Error](err); ok {
		at.number, at.field = where.Line, where.Field
	}
	r.lines = append(r.lines, &at)
}

func (r *reader) find(p *place, f *istio.Finding) {
	l := p.line
	l.number, l.field, l.effect, l.message = p.places.Line(f.Field), f.Field, f.Effect, f.Message
	r.lines = append(r.lines, &l)
}

// write prints the objects to out and the rest to notes.
func (c *conversion) write(out, notes io.Writer) error {
	for _, l := range c.lines {
		if _, err := fmt.Fprintln(notes, l); err != nil {
			return err
		}
	}
	_, err := out.Write(c.yaml)
	return err
}
