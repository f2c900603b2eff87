//go:build ignore

package istio

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"istio.io/api/networking/v1alpha3"
)

// fields are those of DestinationRule, ServiceEntry and VirtualService, and of all messages in them, a line each: the message, the field as JSON
// names it, and its type, if that is a message too.
func fields() string {
	var lines []string
	seen := map[protoreflect.FullName]bool{}
	var walk func(protoreflect.MessageDescriptor)
	walk = func(m protoreflect.MessageDescriptor) {
		if seen[m.FullName()] {
			return
		}
		seen[m.FullName()] = true
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			line := fmt.Sprintf("%s %s", short(m), f.JSONName())
			of := f.Message()
			if f.IsMap() {
				of = f.MapValue().Message()
			}
			if of != nil && strings.HasPrefix(string(of.FullName()), "istio.") {
				line += " " + short(of)
				walk(of)
			}
			lines = append(lines, line)
		}
	}
	for _, m := range []interface{ ProtoReflect() protoreflect.Message }{
		&v1alpha3.DestinationRule{}, &v1alpha3.ServiceEntry{}, &v1alpha3.VirtualService{},
	} {
		walk(m.ProtoReflect().Descriptor())
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// short is the name of a message without that of its package.
func short(m protoreflect.MessageDescriptor) string {
	return strings.TrimPrefix(string(m.FullName()), string(m.ParentFile().Package())+".")
}
