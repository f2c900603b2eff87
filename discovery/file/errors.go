package file

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// FileError is an error or a warning about a place in a file. The names of files are those in the directory, without its path.
type FileError struct {
	File     string `json:"file"`
	Document int    `json:"document,omitempty"` // 1 for the first in the file; 0: the file as a whole
	Line     int    `json:"line,omitempty"`     // in the file, 1 for the first; 0: not known
	Field    string `json:"field,omitempty"`    // such as "spec.ports[0].port"
	Message  string `json:"message"`
	// Warning is true when the object is used all the same.
	Warning bool `json:"warning,omitempty"`
}

func (e FileError) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Document > 0 {
		fmt.Fprintf(&b, "document %d: ", e.Document)
	}
	if e.Warning {
		b.WriteString("warning: ")
	}
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Message)
	return b.String()
}

func compareErrors(a, b FileError) int {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Document, b.Document), cmp.Compare(a.Line, b.Line),
		cmp.Compare(a.Field, b.Field), cmp.Compare(a.Message, b.Message))
}

// sorted returns the errors in the order of files and lines, each once.
func sorted(errs []FileError) []FileError {
	slices.SortFunc(errs, compareErrors)
	return slices.Compact(errs)
}
