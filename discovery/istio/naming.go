package istio

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// naming has the names that are taken, by namespace.
type naming map[[2]string]bool

// take is false if another has the name.
func (n naming) take(namespace, name string) bool {
	at := [2]string{namespace, name}
	known := n[at]
	n[at] = true
	return !known
}

// hashed is a name that no other has, as it has a hash of what it is for.
func hashed(name string, of ...string) string {
	const room = 54 // of 63 letters
	sum := sha256.Sum256([]byte(strings.Join(append(of, name), "/")))
	name = label(name)
	return fmt.Sprintf("%s-%x", strings.TrimRight(name[:min(room, len(name))], "-"), sum[:4])
}

// distinguish gives services of a namespace different names: those that are names of their ServiceEntries stay.
func (c *converter) distinguish() {
	unchanged := func(x External) bool { return x.Name == x.Of.Name }
	for _, x := range c.out.Externals {
		if unchanged(x) {
			c.taken.take(x.Namespace, x.Name)
		}
	}
	for _, x := range c.out.Externals {
		if !unchanged(x) {
			c.rename(x, x.Spec.Hosts[0])
		}
	}
}

// rename gives a service a name with a hash of what it is for, if another has its name.
func (c *converter) rename(x External, of string) {
	if c.taken.take(x.Namespace, x.Name) {
		return
	}
	was := x.Name
	x.Name = hashed(was, x.Of.Name, of)
	c.taken.take(x.Namespace, x.Name)
	c.find(x.Of, Ignored, "metadata.name", "another ExternalService has the name %q already: the one of %s has the name %q", was, of, x.Name)
}
