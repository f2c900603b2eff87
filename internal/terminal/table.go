package terminal

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
)

// JSON writes v indented, with a final newline.
func JSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}

// columnGap separates columns, in spaces: a cell or a heading may hold a single one ("LAST ERROR").
const columnGap = 2

// fieldGap separates a field's name from its value, in spaces.
const fieldGap = 3

// Table writes rows in aligned columns below their headings.
func Table(w io.Writer, headings []string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, columnGap, ' ', 0)
	for _, row := range append([][]string{headings}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = Printable(cell)
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print table: %w", err)
	}
	return nil
}

// Printable makes a cell safe for a terminal: peers choose some of the text
// (replica, version, errors), and must not move the cursor or forge a row.
func Printable(cell string) string {
	if cell == "" {
		return None
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, cell)
}

// Lines is at most that many bytes of a text of several lines, such as an error that has a part of another side's, and … if there was more.
// What would move the cursor elsewhere is a question mark.
func Lines(text string, most int) string {
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

// Fields writes "Name   value" lines with the values aligned.
func Fields(w io.Writer, fields [][2]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, fieldGap, ' ', 0)
	for _, f := range fields {
		fmt.Fprintf(tw, "%s\t%s\n", f[0], Printable(f[1]))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
