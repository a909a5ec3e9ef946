// Package kinds finds the resource behind a kind, and finds it again when the API server has changed its mind: a definition
// that was deleted and made anew under another plural, a version that is not served any more, or one that is new.
//
// [Mapper] is a RESTMapper with memory, as controller-runtime's, that can be made to forget. [Client] sends requests through
// it, and asks again when the API server knows nothing of the resource that was remembered. [Served] says what the API server
// serves of a kind at this moment, whatever is remembered: whoever wants to conclude that something does not exist asks that.
package kinds
