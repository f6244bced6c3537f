/**
 * ClickHouse's error codes that speak against what the rows hold: the same rows would be refused for
 * ever. All others may pass: a full disk, a lost connection, a missing table, too many parts.
 * @see https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
 */
const CONTENT_CODES: ReadonlySet<string> = new Set([
  '6', // CANNOT_PARSE_TEXT
  '26', // CANNOT_PARSE_QUOTED_STRING
  '27', // CANNOT_PARSE_INPUT_ASSERTION_FAILED
  '32', // ATTEMPT_TO_READ_AFTER_EOF
  '33', // CANNOT_READ_ALL_DATA
  '38', // CANNOT_PARSE_DATE
  '41', // CANNOT_PARSE_DATETIME
  '53', // TYPE_MISMATCH
  '69', // ARGUMENT_OUT_OF_BOUND
  '70', // CANNOT_CONVERT_TYPE
  '72', // CANNOT_PARSE_NUMBER
  '117', // INCORRECT_DATA
  '128', // TOO_LARGE_ARRAY_SIZE
  '131', // TOO_LARGE_STRING_SIZE
  '321', // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
  '349', // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
  '376', // CANNOT_PARSE_UUID
  '395', // FUNCTION_THROW_IF_VALUE_IS_NON_ZERO
  '407', // DECIMAL_OVERFLOW
  '469', // VIOLATED_CONSTRAINT
  '691', // UNKNOWN_ELEMENT_OF_ENUM
])

/**
 * ClickHouse's error codes that say that it can take nothing now, whatever the rows are. To send less
 * at once would not help, and of too many parts it would make more.
 */
const TROUBLE_CODES: ReadonlySet<string> = new Set([
  '60', // UNKNOWN_TABLE
  '81', // UNKNOWN_DATABASE
  '164', // READONLY
  '202', // TOO_MANY_SIMULTANEOUS_QUERIES
  '209', // SOCKET_TIMEOUT, as the next seven of a cluster
  '210', // NETWORK_ERROR
  '225', // NO_ZOOKEEPER
  '279', // ALL_CONNECTION_TRIES_FAILED
  '286', // UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
  '289', // REPLICA_IS_NOT_IN_QUORUM
  '305', // ALL_REPLICAS_LOST
  '369', // ALL_REPLICAS_ARE_STALE
  '242', // TABLE_IS_READ_ONLY
  '243', // NOT_ENOUGH_SPACE
  '252', // TOO_MANY_PARTS
  '285', // TOO_FEW_LIVE_REPLICAS
  '319', // UNKNOWN_STATUS_OF_INSERT
  '497', // ACCESS_DENIED
  '516', // AUTHENTICATION_FAILED
  '999', // KEEPER_EXCEPTION
])

/** A shard that dies ends the answer early, which ClickHouse tells by a code that rows can have too. */
const BETWEEN_SERVERS = /while (?:receiving packet from|sending .* to)\b/i

/** Whether a failed insert was refused for what its rows hold. */
export function isContentRefusal(error: unknown): boolean {
  return hasCodeOf(CONTENT_CODES, error) && !isBetweenServers(error)
}

/** Whether an insert failed for a trouble of ClickHouse's own, which no other block would be spared. */
export function isStoreTrouble(error: unknown): boolean {
  return hasCodeOf(TROUBLE_CODES, error) || isBetweenServers(error)
}

function isBetweenServers(error: unknown): boolean {
  return error instanceof Error && BETWEEN_SERVERS.test(error.message)
}

function hasCodeOf(codes: ReadonlySet<string>, error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'string' &&
    codes.has(error.code)
  )
}
