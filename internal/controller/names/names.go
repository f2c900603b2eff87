package names

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

const (
	// labelBytes is the length of a DNS label, which names of Services and values of labels may have.
	labelBytes = 63
	// hashLength is so many base32 digits of SHA-256: 60 bits, where 20,000 objects collide with a chance of 10⁻¹⁰.
	hashLength = 12
)

// Hashed is the prefix as far as there is room, the kind, and a hash of kind and parts: a DNS label, if prefix and kind are of such.
func Hashed(prefix, kind string, parts ...string) string {
	return cut(prefix, "-"+kind+"-"+hash(kind+"\x00"+strings.Join(parts, "\x00")))
}

// Label is a name as the value of a label: itself, or as much of it as there is room for beside a hash of the whole.
func Label(name string) string {
	if len(name) <= labelBytes {
		return name
	}
	return cut(name, "-"+hash(name))
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:hashLength]
}

func cut(prefix, tail string) string {
	if most := labelBytes - len(tail); len(prefix) > most {
		prefix = prefix[:most]
	}
	return strings.TrimRight(prefix, "-.") + tail
}
