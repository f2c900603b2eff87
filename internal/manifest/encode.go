package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// document is the YAML of one object.
type document struct {
	root  *yaml.Node
	shift int            // lines of the file before the document
	lines map[string]int // path → line of its key (or list entry)

	// Known once it is encoded.
	data  []byte   // all of it as JSON
	paths []string // of its nodes, in order
}

// parse reads one document.
func parse(p part) (*yaml.Node, error) {
	if err := p.checkText(); err != nil {
		return nil, err
	}
	dec := yaml.NewDecoder(bytes.NewReader(p.text))
	var n yaml.Node
	if err := dec.Decode(&n); err != nil {
		return nil, syntaxError(err, p.line)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, &Error{Line: p.line, err: errors.New("more than one document: separate them with a line of ---")}
	}
	if len(n.Content) != 1 {
		return nil, &Error{Line: p.line, err: errors.New("no object")}
	}
	return n.Content[0], nil
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
	return &Error{Line: line, err: errors.New("invalid YAML: " + msg)}
}

func (d *document) places() Places { return Places{lines: d.lines, top: d.root.Line + d.shift} }

func (d *document) at(field string) int { return d.places().Line(field) }

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
	return &Error{Line: n.Line + e.doc.shift, Field: path, err: fmt.Errorf(format, args...)}
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
		if n.Style&yaml.TaggedStyle == 0 && onlyOldNumber(n.Value) {
			return e.fail(n, path, "%s has two meanings: YAML 1.1, and so kubectl, reads it as %v, YAML 1.2 does not; "+
				"write that number, or quote the text", n.Value, v)
		}
		return e.value(n, path, v)
	default: // strings, and what only looks like something else: timestamps, binary
		return e.value(n, path, n.Value)
	}
}

// onlyOldNumber is true for numbers that YAML 1.2 reads otherwise than YAML 1.1: 010, 0b11, 1_000.
func onlyOldNumber(text string) bool {
	digits := strings.TrimLeft(text, "+-")
	leadingZero := len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' && strings.Trim(digits, "01234567_") == ""
	return leadingZero || strings.HasPrefix(strings.ToLower(digits), "0b") || strings.Contains(digits, "_")
}

func (e *encoder) value(n *yaml.Node, path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil { // .inf, .nan
		return e.fail(n, path, "%s has no meaning here", n.Value)
	}
	e.buf.Write(b)
	return nil
}
