// Package settled has the handler of events that controllers share: what an object affects is looked at once changes have settled.
package settled
