/**
 * Counts down from the seconds that the server has answered. Nothing here needs a page.
 */

const MINUTE = 60;

/** What the server's extension answers. */
export interface IAnswer {
  /** Seconds; null if the end is not known. */
  time_left: number | null;
  end: string | null;
  /** Why the session ends early; empty if it does not. */
  reason: string;
  /** How many seconds before the end there is a warning. */
  warnings: number[];
}

/** Return an answer of the server's, or null if it is none. */
export function readAnswer(data: unknown): IAnswer | null {
  if (typeof data !== 'object' || data === null) {
    return null;
  }
  const { time_left, end, reason, warnings } = data as Record<string, unknown>;
  const seconds = typeof time_left === 'number' && Number.isFinite(time_left);
  if (!seconds && time_left !== null) {
    return null;
  }
  return {
    time_left: seconds ? Math.max(0, time_left as number) : null,
    end: typeof end === 'string' ? end : null,
    reason: typeof reason === 'string' ? reason : '',
    warnings: Array.isArray(warnings)
      ? warnings.filter(one => typeof one === 'number' && one > 0)
      : []
  };
}

/**
 * The time left between two answers. The browser's clock may be wrong, so that only its steady
 * clock counts, from the moment of an answer.
 */
export class Countdown {
  constructor(private _now: () => number) {}

  /** Take an answer; return true if its end is another than the last one's. */
  take(answer: IAnswer): boolean {
    const before = this.left();
    this._left = answer.time_left;
    this._since = this._now();
    this._warnings = [...answer.warnings].sort((one, other) => other - one);
    const moved =
      before === null ||
      answer.time_left === null ||
      Math.abs(before - answer.time_left) > 2 * MINUTE;
    if (moved && answer.time_left !== null) {
      // The session was extended, for example: the warnings that lie ahead are due again.
      const left = answer.time_left;
      this._given = this._given.filter(one => one >= left);
    }
    return moved;
  }

  /** Return how many seconds are left, or null if that is not known. */
  left(): number | null {
    if (this._left === null) {
      return null;
    }
    return Math.max(0, this._left - (this._now() - this._since) / 1000);
  }

  /** Return whether a warning is due that was not given yet; it then counts as given. */
  isDue(): boolean {
    const left = this.left();
    if (left === null) {
      return false;
    }
    const due = this._warnings.filter(one => left <= one && !this._given.includes(one));
    this._given.push(...due);
    return due.length > 0;
  }

  /** Return whether the first warning was due. */
  isSoon(): boolean {
    const left = this.left();
    return left !== null && this._warnings.some(one => left <= one);
  }

  private _left: number | null = null;
  private _since = 0;
  private _warnings: number[] = [];
  private _given: number[] = [];
}

/** A number of whole minutes, cut into what people say. */
export interface IParts {
  days: number;
  hours: number;
  minutes: number;
}

/** Return days, hours and minutes; from an hour on nobody needs seconds. */
export function split(seconds: number): IParts {
  const minutes = Math.floor(seconds / MINUTE);
  return {
    days: Math.floor(minutes / 1440),
    hours: Math.floor(minutes / 60) % 24,
    minutes: minutes % 60
  };
}
