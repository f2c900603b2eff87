package route

import (
	"fmt"
	"regexp"
	"regexp/syntax"
)

// pattern is a regular expression that matches whole texts.
type pattern struct {
	*regexp.Regexp

	size int // in instructions
}

func newPattern(expr string) (*pattern, string) {
	if len(expr) > maxPathValue {
		return nil, fmt.Sprintf("value: a regular expression may have %d bytes", maxPathValue)
	}
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, fmt.Sprintf("value: not a regular expression of RE2: %v", err)
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil || len(prog.Inst) > maxRegexSize {
		return nil, fmt.Sprintf("value: the regular expression is larger than %d instructions: use shorter repetitions", maxRegexSize)
	}
	re, err := regexp.Compile(`\A(?:` + expr + `)\z`)
	if err != nil {
		return nil, fmt.Sprintf("value: %v", err)
	}
	return &pattern{Regexp: re, size: len(prog.Inst)}, ""
}

// regexSize is the size of all patterns of the entry; 0: it has none.
func (e *entry) regexSize() (size int) {
	if e.regex != nil {
		size = e.regex.size
	}
	for _, list := range [][]condition{e.headers, e.queries} {
		for i := range list {
			if re := list[i].regex; re != nil {
				size += re.size
			}
		}
	}
	return size
}
