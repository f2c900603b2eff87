// Package check finds what keeps an installation of Eastway from working, and what to do about it. The checks are
// data (All, Takeover): each has a section, a name, and a function that gives results.
package check
