package repocheck

import (
	"regexp"
	"testing"
)

// Words for which there are plainer or standard ones: processes are no persons, and a dialer has one l, as in Go.
// The linter's misspell has the other British spellings.
var unwanted = regexp.MustCompile(`(?i)\b(who` + `ever|some` + `body|no` + `body|dial` + `ler)(s|'s)?\b`)

// Comments use the field's words.
func TestWordsAreThePlainOnes(t *testing.T) {
	t.Parallel()
	for _, files := range goFiles(t) {
		for i := range files {
			f := &files[i]
			for _, group := range f.syntax.Comments {
				for _, comment := range group.List {
					if word := unwanted.FindString(comment.Text); word != "" {
						t.Errorf("%s:%d: %q: name the process, or say it without", f.path, f.lines.Position(comment.Pos()).Line, word)
					}
				}
			}
		}
	}
}
