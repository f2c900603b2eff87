// Package h1test has requests with which one parser is made to see another request than the next one (request smuggling), by
// class, and some that are close to them and valid: for tests of the reader, and of whole proxies beside others.
package h1test
