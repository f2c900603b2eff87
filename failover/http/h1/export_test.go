package h1

// Reasons are all of them.
func Reasons() []Reason {
	return []Reason{
		ReasonHeadTooLarge, ReasonTooManyFields,
		ReasonBareLF, ReasonBareCR, ReasonControlByte, ReasonEmptyLines, ReasonObsFold,
		ReasonRequestLine, ReasonMethod, ReasonConnect, ReasonTarget, ReasonVersion,
		ReasonNoColon, ReasonFieldSpace, ReasonFieldName, ReasonFieldAlias, ReasonConnectionOption, ReasonTrailerField,
		ReasonHostMissing, ReasonHostDuplicate, ReasonHostInvalid, ReasonHostMismatch,
		ReasonContentLength, ReasonContentLengthDuplicate,
		ReasonTransferEncoding, ReasonTransferEncodingHTTP10, ReasonLengthAndEncoding,
		ReasonChunkSize, ReasonChunkExtension, ReasonChunkLine, ReasonChunkOverhead, ReasonChunkEnd, ReasonTrailerTooLarge,
	}
}
