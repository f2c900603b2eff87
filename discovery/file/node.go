package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of one document, which aliases could make much larger than its text.
const (
	maxDepth = 64
	maxNodes = 500_000
	maxJSON  = 16 << 20 // bytes
	maxPaths = 64 << 20 // bytes of all nodes' paths together
	// maxAliased is how many of the nodes may be there by an alias.
	maxAliased = 10_000
)

// document is a parsed document whose places are known by path.
type document struct {
	root  *yaml.Node
	shift int            // lines of the file before the text
	lines map[string]int // path → line of its key (or list entry)

	data  []byte   // all of it as JSON
	paths []string // of its nodes, in order
}

// placedError is an error with a place in the document.
type placedError struct {
	line  int
	field string
	err   error
}

func (e *placedError) Error() string { return e.err.Error() }
func (e *placedError) Unwrap() error { return e.err }

// parse reads one document.
func parse(p part) (*document, error) {
	dec := yaml.NewDecoder(bytes.NewReader(p.text))
	var n yaml.Node
	if err := dec.Decode(&n); err != nil {
		return nil, syntaxError(err, p.line)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, &placedError{line: p.line, err: errors.New("more than one document: separate them with a line of ---")}
	}
	if len(n.Content) != 1 {
		return nil, &placedError{line: p.line, err: errors.New("no object")}
	}
	return newDocument(n.Content[0], p.line-1)
}

func newDocument(root *yaml.Node, shift int) (*document, error) {
	d := &document{root: root, shift: shift, lines: map[string]int{}}
	if root.Kind != yaml.MappingNode {
		return nil, &placedError{
			line: root.Line + shift,
			err:  errors.New("not an object: apiVersion, kind and metadata are expected"),
		}
	}
	var err error
	d.data, d.paths, err = d.json(math.MaxInt)
	return d, err
}

// syntaxError gives an error of the YAML parser ("yaml: line 3: did not find …") its line in the file.
func syntaxError(err error, first int) error {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	line := first
	if rest, ok := strings.CutPrefix(msg, "line "); ok {
		number, what, _ := strings.Cut(rest, ": ")
		if n, convErr := strconv.Atoi(number); convErr == nil {
			line, msg = first+n-1, what
		}
	}
	return &placedError{line: line, err: errors.New("invalid YAML: " + msg)}
}

// at is the line of a path, or of the nearest thing around it that is there.
func (d *document) at(path string) int {
	for {
		if line, ok := d.lines[path]; ok {
			return line
		}
		// field.Path writes keys of maps in brackets: metadata.labels[example.com/x].
		if i := strings.IndexByte(path, '['); i > 0 && strings.HasSuffix(path, "]") {
			if line, ok := d.lines[path[:i]+"."+path[i+1:len(path)-1]]; ok {
				return line
			}
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return d.root.Line + d.shift
		}
		path = path[:i]
	}
}

// encoder turns YAML nodes into JSON, noting where everything is.
type encoder struct {
	doc   *document
	buf   bytes.Buffer
	count int // nodes so far
	// keep is how many nodes are written as they are, the rest as null: by that an error of the JSON decoder is
	// pinned to the node that causes it.
	keep  int
	paths []string // of each node
	// pathBytes is the length of all of them.
	pathBytes int
	// aliased counts nodes below aliases, of which aliases are open.
	aliased, aliases int
}

// json returns the document as JSON with all nodes from the keep-th on as null, and the paths of its nodes.
func (d *document) json(keep int) ([]byte, []string, error) {
	e := &encoder{doc: d, keep: keep}
	if err := e.node(d.root, "", 0); err != nil {
		return nil, nil, err
	}
	return e.buf.Bytes(), e.paths, nil
}

func (e *encoder) fail(n *yaml.Node, path, format string, args ...any) error {
	return &placedError{line: n.Line + e.doc.shift, field: path, err: fmt.Errorf(format, args...)}
}

func (e *encoder) node(n *yaml.Node, path string, depth int) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
		e.aliases++
		defer func() { e.aliases-- }()
	}
	e.count++
	e.pathBytes += len(path)
	if e.aliases > 0 {
		e.aliased++
	}
	switch {
	case depth > maxDepth:
		return e.fail(n, "", "nested deeper than %d levels", maxDepth)
	case e.aliased > maxAliased:
		return e.fail(n, "", "aliases stand for more than %d values: write the fields out", maxAliased)
	case e.count > maxNodes || e.buf.Len() > maxJSON || e.pathBytes > maxPaths:
		return e.fail(n, "", "the document is too large (more than %d values or %d MiB as JSON)", maxNodes, maxJSON>>20)
	}
	e.paths = append(e.paths, path)
	if e.count > e.keep {
		e.buf.WriteString("null")
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		return e.mapping(n, path, depth)
	case yaml.SequenceNode:
		return e.sequence(n, path, depth)
	case yaml.ScalarNode:
		return e.scalar(n, path)
	}
	return e.fail(n, path, "unexpected YAML node")
}

func (e *encoder) mapping(n *yaml.Node, path string, depth int) error {
	seen := make(map[string]bool, len(n.Content)/2)
	e.buf.WriteByte('{')
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag == "!!null":
			return e.fail(key, path, "a key must be a plain word")
		case key.Tag == "!!merge":
			return e.fail(key, path, "merge keys (<<) are not supported: write the fields out")
		}
		at := key.Value
		if path != "" {
			at = path + "." + key.Value
		}
		if seen[key.Value] {
			return e.fail(key, at, "set twice")
		}
		seen[key.Value] = true
		e.doc.lines[at] = key.Line + e.doc.shift
		if i > 0 {
			e.buf.WriteByte(',')
		}
		if err := e.value(key, at, key.Value); err != nil {
			return err
		}
		e.buf.WriteByte(':')
		if err := e.node(value, at, depth+1); err != nil {
			return err
		}
	}
	e.buf.WriteByte('}')
	return nil
}

func (e *encoder) sequence(n *yaml.Node, path string, depth int) error {
	e.buf.WriteByte('[')
	for i, item := range n.Content {
		at := path + "[" + strconv.Itoa(i) + "]"
		e.doc.lines[at] = item.Line + e.doc.shift
		if i > 0 {
			e.buf.WriteByte(',')
		}
		if err := e.node(item, at, depth+1); err != nil {
			return err
		}
	}
	e.buf.WriteByte(']')
	return nil
}

func (e *encoder) scalar(n *yaml.Node, path string) error {
	switch n.ShortTag() {
	case "!!null":
		e.buf.WriteString("null")
		return nil
	case "!!bool", "!!int", "!!float":
		var v any
		if err := n.Decode(&v); err != nil {
			return e.fail(n, path, "%w", err)
		}
		return e.value(n, path, v)
	default: // strings, and what only looks like something else: timestamps, binary
		return e.value(n, path, n.Value)
	}
}

func (e *encoder) value(n *yaml.Node, path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil { // .inf, .nan
		return e.fail(n, path, "%s has no meaning here", n.Value)
	}
	e.buf.Write(b)
	return nil
}
