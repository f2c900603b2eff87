package terminal

import "fmt"

// Format is the value of a flag: how a command prints its results.
type Format string

// Formats.
const (
	AsTable Format = "table"
	AsJSON  Format = "json"
)

// String, Set and Type make it a pflag.Value.
func (f *Format) String() string { return string(*f) }

// Set takes the name of a format.
func (f *Format) Set(s string) error {
	switch v := Format(s); v {
	case AsTable, AsJSON:
		*f = v
		return nil
	default:
		return fmt.Errorf("must be %s or %s", AsTable, AsJSON)
	}
}

// Type names it in the help.
func (*Format) Type() string { return "format" }
