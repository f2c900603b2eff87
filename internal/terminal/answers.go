package terminal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Answers prints the answer of each proxy: tables one below the other, JSON as one value, or as a list.
type Answers struct {
	Writer io.Writer
	JSON   bool
	// List: JSON is a list, however many answers there are.
	List   bool
	values []any
}

// Add prints an answer by table, or keeps it for Flush. In JSON it has the pod that gave it as its first field, unless that is "".
func (a *Answers) Add(pod string, answer any, table func(io.Writer) error) error {
	if a.JSON {
		a.values = append(a.values, labeled{pod, answer})
		return nil
	}
	if len(a.values) > 0 {
		fmt.Fprintln(a.Writer)
	}
	a.values = append(a.values, answer)
	return table(a.Writer)
}

// Flush prints what is left, also after an error: the answers so far are worth showing.
func (a *Answers) Flush(err error) error {
	switch {
	case !a.JSON || (err != nil && len(a.values) == 0):
		return err
	case a.List:
		return errors.Join(err, JSON(a.Writer, append([]any{}, a.values...)))
	case len(a.values) == 1:
		return errors.Join(err, JSON(a.Writer, a.values[0]))
	}
	return err
}

// labeled is an answer with the pod that gave it.
type labeled struct {
	pod    string
	answer any
}

// MarshalJSON puts "pod" before the answer's own fields.
func (l labeled) MarshalJSON() ([]byte, error) {
	data, err := json.Marshal(l.answer)
	if err != nil || l.pod == "" {
		return data, err
	}
	pod, err := json.Marshal(l.pod)
	if err != nil {
		return nil, err
	}
	return append(append(append([]byte(`{"pod":`), pod...), ','), data[1:]...), nil
}
