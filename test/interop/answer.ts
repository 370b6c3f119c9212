// The smallest answer to a DNS question (RFC 1035 section 4): one IPv4 address to every question for one, nothing to others.

export const answerWith = (address: string, query: Uint8Array): Buffer => {
  const view = Buffer.from(query);
  let end = 12;
  while (view[end] !== 0) end += (view[end] as number) + 1;
  const question = view.subarray(12, end + 5);
  const isV4 = view.readUInt16BE(end + 1) === 1;
  const head = [...view.subarray(0, 2), 0x81, 0x80, 0, 1, 0, isV4 ? 1 : 0, 0, 0, 0, 0];
  const record = isV4 ? [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)] : [];
  return Buffer.from([...head, ...question, ...record]);
};
