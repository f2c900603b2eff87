package operand

import (
	"errors"
	"strconv"
)

// Port is a port of a service as the value of a flag; 0: not said.
type Port uint16

// String, Set and Type make it a pflag.Value.
func (p *Port) String() string { return strconv.Itoa(int(*p)) }

// Set takes numbers alone: only a Service knows the names of its ports.
func (p *Port) Set(text string) error {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return errors.New("write the port's number, 1 to 65535, not its name")
	}
	*p = Port(n)
	return nil
}

// Type names it in the help.
func (*Port) Type() string { return "port" }
