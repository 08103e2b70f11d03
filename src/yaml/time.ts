/** The timestamps that gopkg.in/yaml.v2 knows; they stay text, but a !!timestamp must be one. */

const TIME = "([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[.,][0-9]{1,9})?";
// Go's time.Parse reads each part of the offset as a number that may itself have a sign.
const OFFSET = "(?:Z|[-+](?:[0-9]{2}|[-+][0-9]):(?:[0-9]{2}|[-+][0-9]))";
const DATE = "^([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})";
const FORMATS = [`${DATE}[Tt]${TIME}${OFFSET}$`, `${DATE} +${TIME}$`, `${DATE}$`].map(
  (text) => new RegExp(text),
);

export function isTimestamp(text: string): boolean {
  return FORMATS.some((format) => {
    const parts = format.exec(text)?.slice(1).map(Number);
    if (parts === undefined) return false;
    const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts;
    if (month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return false;
    return hour < 24 && minute < 60 && second < 60;
  });
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}
